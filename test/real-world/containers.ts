import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageConfig } from '../../src/image/types.ts';
import { mustRun, run } from './builders.ts';
import type { RunCheck } from './types.ts';

const DEADLINE_MS = 30_000;

type ImageDefaults = NonNullable<ImageConfig['config']>;
type RuntimeSpec = { process: { args: string[]; env: string[] } };

export type ContainerOptions = {
  id: string;
  /** The unpacked image, which stays as it is. */
  bundle: string;
  /** `config` of the image config. */
  defaults: ImageDefaults;
};

/** Runs an image once and gives one line for each thing that is not as `check` says. */
export async function runImage(check: RunCheck, options: ContainerOptions): Promise<string[]> {
  const { id, bundle, defaults } = options;
  const spec = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')) as RuntimeSpec;
  if (check.command) spec.process.args = [...(defaults.Entrypoint ?? []), ...check.command];
  for (const [key, value] of Object.entries(check.env ?? {})) spec.process.env.push(`${key}=${value}`);
  const own = join(bundle, id);
  for (const name of ['rootfs', 'upper', 'work']) mkdirSync(join(own, name), { recursive: true });
  writeFileSync(join(own, 'config.json'), JSON.stringify({ ...spec, root: { path: 'rootfs' } }));
  const layers = `lowerdir=${bundle}/rootfs,upperdir=${own}/upper,workdir=${own}/work`;
  await mustRun('mount', ['-t', 'overlay', '-o', layers, 'overlay', join(own, 'rootfs')]);
  try {
    return await runBundle(check, { ...options, bundle: own });
  } finally {
    await mustRun('umount', [join(own, 'rootfs')]);
  }
}

async function runBundle(check: RunCheck, { id, bundle, defaults }: ContainerOptions): Promise<string[]> {
  const child = spawn('runc', ['run', '--bundle', bundle, id], { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.err += chunk));
  const ended = new Promise<number | null>((done, fail) => {
    child.on('error', fail);
    child.on('close', done);
  });
  const problems: string[] = [];
  const expectSame = (what: string, got: unknown, want: unknown): void => {
    if (got !== want) problems.push(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`);
  };
  try {
    if (check.stops === undefined) {
      expectSame('exit code', await within(ended), check.exit ?? 0);
    } else {
      for (const [url, body] of Object.entries(check.requests ?? {}))
        expectSame(url, await request(id, url), body);
      if (check.healthy) expectSame('health', await untilHealthy(id, defaults), 0);
      for (const [command, output] of Object.entries(check.exec ?? {}))
        expectSame(command, (await run('runc', ['exec', id, 'sh', '-c', command])).stdout, output);
      await run('runc', ['kill', id, defaults.StopSignal ?? 'SIGTERM']);
      expectSame(`exit code after ${defaults.StopSignal ?? 'SIGTERM'}`, await within(ended), check.stops);
    }
    if (check.output !== undefined) expectSame('output', text.out, check.output);
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    await run('runc', ['delete', '--force', id]);
    await ended;
  }
  if (problems.length > 0 && text.err !== '') problems.push(`stderr: ${text.err.slice(-2000)}`);
  return problems;
}

async function within<T>(what: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = sleep(DEADLINE_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`The container still runs after ${DEADLINE_MS / 1000} s`);
  });
  try {
    return await Promise.race([what, late]);
  } finally {
    timer.abort();
    late.catch(() => {});
  }
}

/** Asks from inside, so that ports of the host and of other tests do not matter. */
async function request(id: string, url: string): Promise<string> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const { stdout: state } = await run('runc', ['state', id]);
    const { pid = 0 } = state === '' ? {} : (JSON.parse(state) as { pid?: number });
    const curl = ['curl', '--silent', '--show-error', '--max-time', '10', '--noproxy', '*', url];
    const answer = pid > 0 && (await run('nsenter', [`--net=/proc/${pid}/ns/net`, ...curl]));
    if (answer && answer.status === 0) return answer.stdout;
    if (Date.now() > deadline)
      throw new Error(`No answer from ${url}: ${answer ? answer.stderr : 'the container has ended'}`);
    await sleep(200);
  }
}

async function untilHealthy(id: string, { Healthcheck }: ImageDefaults): Promise<number | null> {
  const [kind, ...words] = Healthcheck?.Test ?? [];
  const command = kind === 'CMD-SHELL' ? ['/bin/sh', '-c', ...words] : words;
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const { status } = await run('runc', ['exec', id, ...command]);
    if (status === 0 || Date.now() > deadline) return status;
    await sleep(200);
  }
}
