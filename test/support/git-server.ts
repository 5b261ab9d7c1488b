/** Git repositories of fixed content, and a server that speaks git's own protocol. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';

export type GitServer = AsyncDisposable & {
  /** `git://127.0.0.1:PORT` */
  readonly url: string;
};

/** Runs git as nobody in particular, at a fixed time, so that commits are the same everywhere. */
export function git(dir: string, ...args: readonly string[]): string {
  return execFileSync('git', ['-C', dir, ...args], { encoding: 'utf8', env: gitEnv() }).trim();
}

/** Runs several in a row, in one shell: to start a process costs a large one like ours more than it costs the shell. */
export async function gitAll(dir: string, commands: readonly (readonly string[])[]): Promise<void> {
  const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
  const script = commands.map((args) => ['git', ...args].map(quote).join(' ')).join('\n');
  await promisify(execFile)('/bin/sh', ['-ec', script], { cwd: dir, env: gitEnv() });
}

function gitEnv(): NodeJS.ProcessEnv {
  const config = {
    'protocol.file.allow': 'always',
    'init.defaultBranch': 'main',
    // What nobody will look at again needs no tidying up.
    'gc.auto': '0',
    'maintenance.auto': 'false',
  };
  return {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_NAME: 'Test',
    GIT_AUTHOR_EMAIL: 'test@example.test',
    GIT_COMMITTER_NAME: 'Test',
    GIT_COMMITTER_EMAIL: 'test@example.test',
    GIT_AUTHOR_DATE: '1600000000 +0000',
    GIT_COMMITTER_DATE: '1600000000 +0000',
    GIT_CONFIG_COUNT: String(Object.keys(config).length),
    ...Object.fromEntries(
      Object.entries(config).flatMap(([key, value], i) => [
        [`GIT_CONFIG_KEY_${i}`, key],
        [`GIT_CONFIG_VALUE_${i}`, value],
      ]),
    ),
  };
}

/** Makes every repository below `dir` available at `git://127.0.0.1:PORT/NAME`. */
export async function startGitServer(dir: string): Promise<GitServer> {
  const children = new Set<ReturnType<typeof spawn>>();
  const server = createServer((socket) => {
    const args = ['daemon', '--inetd', '--export-all', `--base-path=${dir}`];
    const child = spawn('git', args, { stdio: ['pipe', 'pipe', 'ignore'] });
    children.add(child);
    child.on('close', () => children.delete(child));
    for (const stream of [socket, child.stdin, child.stdout]) stream.on('error', () => undefined);
    socket.pipe(child.stdin);
    child.stdout.pipe(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `git://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill();
      await new Promise((done) => server.close(done));
    },
  };
}
