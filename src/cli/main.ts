import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { answerFromLastBuild, type Invocation } from '../build/fast-path.ts';

const MIN_NODE_MAJOR = 24;
/** How long output may take to leave a command that was told to end. */
const FLUSH_MS = 1000;

// Everything but the fast path is loaded on demand: a build with nothing to do is measured against Node's own start.
if (Number.parseInt(process.versions.node, 10) < MIN_NODE_MAJOR) {
  process.stderr.write(
    `error[NODE_TOO_OLD]: Cannot start ocibuild: Node ${process.versions.node} is too old, it needs Node ${MIN_NODE_MAJOR} or later\n`,
  );
  process.exitCode = 3;
} else if (currentDirectory() === undefined) {
  process.stderr.write(
    'error[SYSCALL_FAILED]: Cannot read the current directory: it was deleted\nhint: `cd` to another one, or to this one once it is there again\n',
  );
  process.exitCode = 3;
} else {
  const argv = process.argv.slice(2);
  const columns = isatty(2) ? process.stderr.columns : undefined;
  const invocation: Invocation = { argv, env: process.env, cwd: process.cwd(), columns };
  const answer = answerFromLastBuild(invocation);
  if (answer === undefined) await runWhole(invocation);
  else {
    writeAll(2, answer.stderr);
    writeAll(1, answer.stdout);
  }
}

function currentDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

function writeAll(fd: 1 | 2, lines: readonly string[]): void {
  const bytes = Buffer.from(lines.join(''));
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(fd, bytes, written);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A pipe that somebody else made non-blocking, and that is full: Node's own stream waits for it.
    if (code === 'EAGAIN') (fd === 1 ? process.stdout : process.stderr).write(bytes.subarray(written));
    // Nobody reads it any more: the build is still right.
    else if (code !== 'EPIPE') throw error;
  }
}

async function runWhole(invocation: Invocation): Promise<void> {
  const [{ runCli }, { stopOnSignals, surviveClosedPipes }] = await Promise.all([
    import('./run.ts'),
    import('./signals.ts'),
  ]);
  const { env, stderr, stdin, stdout } = process;
  const controller = new AbortController();
  stopOnSignals(process, controller);
  surviveClosedPipes([stdout, stderr]);
  const code = await runCli(invocation.argv, {
    env,
    cwd: invocation.cwd,
    invocation,
    stdin,
    stdout,
    stderr,
    signal: controller.signal,
  });
  // Handles that someone forgot must not keep a finished command alive.
  const flushed = Promise.all(
    [stdout, stderr].map((stream) => new Promise((done) => stream.write('', done))),
  );
  // Nor may a reader that has paused keep one that was told to end.
  const late = new Promise((done) => {
    const giveUp = (): void => void setTimeout(done, FLUSH_MS);
    if (controller.signal.aborted) giveUp();
    else controller.signal.addEventListener('abort', giveUp, { once: true });
  });
  await Promise.race([flushed, late]);
  process.exit(code);
}
