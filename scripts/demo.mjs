// Shows the whole way from one static binary to a running container. Everything stays in .demo.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const demo = join(root, '.demo');
const container = `ocibuild-demo-${process.pid}`;

function title(text) {
  process.stdout.write(`\n== ${text}\n`);
}

function run(command, args) {
  process.stdout.write(`$ ${[command, ...args].join(' ')}\n`);
  const program = command.includes('/') ? join(root, command) : command;
  const { status, error } = spawnSync(program, args, {
    cwd: root,
    // One order of lines wherever the output goes: progress belongs to stderr, and here to the show.
    stdio: ['ignore', 1, 1],
    env: { ...process.env, OCIBUILD_ROOT: join(demo, 'store') },
  });
  if (status === 0) return;
  process.stderr.write(
    `Cannot finish the demo: \`${command} ${args.join(' ')}\` ${error?.message ?? `ended with ${status}`}\n`,
  );
  process.exitCode = status ?? 1;
  throw new Error('stopped');
}

rmSync(demo, { recursive: true, force: true });
mkdirSync(demo);
try {
  title('Bundle the command');
  run('scripts/build.mjs', ['--no-types']);

  title('A base image from a static busybox');
  run('scripts/example.mjs', ['busybox']);

  title('An image on top of it');
  run('bin/ocibuild', ['build', '-t', 'hello:v0', 'examples/hello']);

  title('The same again: nothing to do');
  run('bin/ocibuild', ['build', '-t', 'hello:v0', 'examples/hello']);

  title('What came out');
  run('bin/ocibuild', ['inspect', 'hello:v0']);

  title('Unpacked and run by plain runc');
  run('bin/ocibuild', ['unpack', 'hello:v0', '.demo/bundle']);
  run('runc', ['run', '--bundle', '.demo/bundle', container]);
} catch (error) {
  if (error.message !== 'stopped') throw error;
} finally {
  spawnSync('runc', ['delete', '--force', container], { stdio: 'ignore' });
}
