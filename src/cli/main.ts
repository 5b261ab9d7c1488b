import { tryFastPath } from './fast-path.ts';

const MIN_NODE_MAJOR = 24;

// Everything but the fast path is loaded on demand: a build with nothing to do is measured against Node's own start.
if (Number.parseInt(process.versions.node, 10) < MIN_NODE_MAJOR) {
  process.stderr.write(
    `error[NODE_TOO_OLD]: Cannot start ocibuild: Node ${process.versions.node} is too old, it needs Node ${MIN_NODE_MAJOR} or later\n`,
  );
  process.exitCode = 3;
} else {
  const argv = process.argv.slice(2);
  const fast = tryFastPath(argv, process.env, process.cwd());
  if (fast === undefined) await runWhole(argv);
  else process.exitCode = fast.exitCode;
}

async function runWhole(argv: readonly string[]): Promise<void> {
  const [{ runCli }, { stopOnSignals, surviveClosedPipes }] = await Promise.all([
    import('./run.ts'),
    import('./signals.ts'),
  ]);
  const { env, stderr, stdin, stdout } = process;
  const controller = new AbortController();
  stopOnSignals(process, controller);
  surviveClosedPipes([stdout, stderr]);
  const code = await runCli(argv, {
    env,
    cwd: process.cwd(),
    stdin,
    stdout,
    stderr,
    signal: controller.signal,
  });
  // Handles that someone forgot must not keep a finished command alive.
  await Promise.all([stdout, stderr].map((stream) => new Promise((done) => stream.write('', done))));
  process.exit(code);
}
