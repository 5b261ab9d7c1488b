/**
 * A program of a normal user that builds through the library, in a directory with a static busybox; prints JSON.
 * Usage: node rootless-library-runner.ts LIBRARY
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { BuildOptions } from '../../src/index.ts';

const { build, watch, prune, diskUsage, isOcibuildError, OcibuildError } = (await import(
  process.argv[2] ?? ''
)) as typeof import('../../src/index.ts');

const BASE = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
`;
const seen: Record<string, unknown> = {};

function optionsOf(lines: string, more: Partial<BuildOptions> = {}): BuildOptions {
  return { context: '.', dockerfileText: `FROM lib:base\n${lines}\n`, ...more };
}

async function failureOf(running: PromiseLike<unknown>): Promise<unknown> {
  try {
    return { result: await running };
  } catch (error) {
    return error;
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) === parent;
      } catch {
        return false;
      }
    });
}

await build({ context: '.', dockerfileText: BASE, tags: ['lib:base'] });

// Two at once, with options that cannot be cloned.
{
  const { PATH, HOME, XDG_DATA_HOME } = process.env;
  const value = new TextEncoder().encode('s3cret');
  const job = build(
    optionsOf('RUN --mount=type=secret,id=token cat /run/secrets/token && id -u', {
      ...{ tags: ['lib:a'], secrets: { token: { type: 'value', value } } },
      env: { PATH, HOME, XDG_DATA_HOME },
    }),
  );
  let bytes = 0;
  const stdout = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      setImmediate(done);
    },
  });
  async function* stdin() {
    yield Buffer.from('FROM lib:base\nRUN echo of ');
    yield Buffer.from('stdin > /file\n');
  }
  const other = build({ context: '-', stdin: stdin(), stdout, outputs: [{ type: 'tar', dest: '-' }] });
  let log = '';
  for await (const event of job) if (event.kind === 'log') log += Buffer.from(event.data).toString();
  await other;
  seen.built = { log, digest: (await job).digest, isWhole: bytes > 500_000 };
}

// Cancelled in a step.
{
  const job = build(optionsOf('RUN echo begun && sleep 1000'));
  const reason = new Error('no longer wanted');
  for await (const event of job) if (event.kind === 'log') job.cancel(reason);
  const error = await failureOf(job);
  seen.cancelled = error instanceof OcibuildError && [
    error.code,
    error.cause === reason,
    childrenOf(process.pid),
  ];
}

// A step that fails.
{
  let output = '';
  const error = await failureOf(
    build(
      optionsOf('WORKDIR /w\nRUN echo report > out.txt && false', {
        async onFailedStep(step) {
          const code = await step.run(['sh', '-c', 'echo in $(pwd) $A; exit 7'], {
            env: ['A=b'],
            async onOutput(_stream, data) {
              await pause(1);
              output += Buffer.from(data).toString();
            },
          });
          const copied = [
            await step.copyOut('/w/out.txt', 'copied.txt'),
            await step.copyOut('/none', 'none'),
          ];
          const { name, cwd } = step;
          seen.failedStep = { name, cwd, code, copied, isOwn: isOcibuildError(step.error) };
        },
      }),
    ),
  );
  seen.failed = error instanceof OcibuildError && {
    ...{ output, code: error.code, exitCode: error.details.exitCode },
    line: error.source?.ranges[0]?.start.line,
  };
}

// Ended by something else.
{
  const mine = new TypeError('mine');
  const options = optionsOf('RUN echo never seen', {
    onEvent(event) {
      if (event.kind === 'log') throw mine;
    },
  });
  const thrown = await failureOf(build(options));
  const onEvent = (): void => {
    throw mine;
  };
  const watched = await failureOf(
    watch({ ...options, onEvent })
      [Symbol.asyncIterator]()
      .next(),
  );
  const wrong = await failureOf(build({ context: '.', onProgres: () => undefined } as BuildOptions));
  const lost = build(optionsOf('RUN echo begun && sleep 2000'));
  for await (const event of lost) {
    if (event.kind === 'log') for (const pid of childrenOf(process.pid)) process.kill(pid, 'SIGKILL');
  }
  const error = await failureOf(lost);
  seen.ended = [
    thrown === mine,
    watched === mine,
    wrong instanceof TypeError,
    isOcibuildError(error) && error.code,
  ];
}

// A watch that sees a save.
{
  const rounds: unknown[] = [];
  writeFileSync('watched.txt', 'one');
  for await (const { number, result, error } of watch(
    optionsOf('COPY watched.txt /\nRUN grep one /watched.txt'),
  )) {
    rounds.push([number, result !== undefined, error instanceof OcibuildError && error.code]);
    if (number === 2) break;
    writeFileSync('watched.txt', 'two');
  }
  seen.watched = rounds;
}

const { totalBytes } = await diskUsage();
const { freedBytes } = await prune({ all: true });
seen.disk = totalBytes > 0 && freedBytes > 0;
process.stdout.write(JSON.stringify(seen));
