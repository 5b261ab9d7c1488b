import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { type BuildOptions, type BuildResult, build } from '../../src/index.ts';
import { git, startGitServer } from '../support/git-server.ts';
import { startWebServer } from '../support/web-server.ts';

interface Scene {
  readonly dir: string;
  /** The repository that is served; commit to it by `commit`. */
  readonly work: string;
  readonly out: string;
  commit(files: Readonly<Record<string, string>>): string;
  run(dockerfileText: string | undefined, more?: Partial<BuildOptions>): Promise<BuildResult>;
}

function createScene(format = 'sha1'): Scene {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-git-'));
  // sshd wants no directory above its keys that others may write to.
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const [work, out] = [join(dir, 'app.git'), join(dir, 'out')];
  mkdirSync(work);
  git(work, 'init', '-q', `--object-format=${format}`, '.');
  const run: Scene['run'] = (dockerfileText, more = {}) =>
    build({
      ...{ root: join(dir, 'store'), context: join(dir, 'empty'), env: { PATH: process.env.PATH } },
      ...(dockerfileText === undefined ? {} : { dockerfileText }),
      outputs: [{ type: 'local', dest: out }],
      ...more,
    }).result;
  mkdirSync(join(dir, 'empty'));
  return {
    ...{ dir, work, out, run },
    commit(files) {
      for (const [name, text] of Object.entries(files)) writeFileSync(join(work, name), text);
      git(work, 'add', '-A');
      git(work, 'commit', '-q', '-m', 'a commit');
      return git(work, 'rev-parse', 'HEAD');
    },
  };
}

test('build() follows a branch, and asks nobody for a whole commit that it knows', async () => {
  const { dir, out, commit, run } = createScene();
  const first = commit({ 'a.txt': 'one' });
  const server = await startGitServer(dir);
  const text = `FROM scratch\nADD ${server.url}/app.git#main /\n`;
  await run(text);
  expect(isCached(await run(text))).toBe(true);
  commit({ 'a.txt': 'two' });
  await run(text);
  expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('two');
  const pinned = `FROM scratch\nADD ${server.url}/app.git#${first} /\n`;
  await run(pinned);
  await server[Symbol.asyncDispose]();
  expect(isCached(await run(pinned))).toBe(true);
  await run(`FROM scratch\nADD ${server.url}/app.git#${first} /elsewhere/\n`);
  expect(readFileSync(join(out, 'elsewhere/a.txt'), 'utf8')).toBe('one');
  await expect(run(text)).rejects.toMatchObject({ code: 'GIT_FAILED', category: 'network' });
});

test('build() reads a repository of SHA-256 objects', async () => {
  const { dir, out, commit, run } = createScene('sha256');
  const whole = commit({ 'a.txt': 'long digests' });
  await using server = await startGitServer(dir);
  expect(whole).toHaveLength(64);
  await run(
    `FROM scratch\nADD --checksum=${whole} ${server.url}/app.git /x/\nADD ${server.url}/app.git#${whole} /y/\n`,
  );
  expect([readFileSync(join(out, 'x/a.txt'), 'utf8'), readFileSync(join(out, 'y/a.txt'), 'utf8')]).toEqual([
    'long digests',
    'long digests',
  ]);
});

test('build() fetches submodules and keeps a whole repository when told to', async () => {
  const { dir, work, out, commit, run } = createScene();
  const lib = join(dir, 'lib.git');
  mkdirSync(lib);
  git(lib, 'init', '-q', '.');
  writeFileSync(join(lib, 'lib.txt'), 'lib');
  git(lib, 'add', '-A');
  git(lib, 'commit', '-q', '-m', 'lib');
  git(work, 'submodule', '-q', 'add', lib, 'vendor/lib');
  git(work, 'config', '-f', '.gitmodules', 'submodule.vendor/lib.url', '../lib.git');
  const whole = commit({ 'a.txt': 'a' });
  await using server = await startGitServer(dir);
  await run(
    `FROM scratch\nADD --keep-git-dir ${server.url}/app.git /x/\nADD ${server.url}/app.git?submodules=0 /y/\n`,
  );
  expect(readFileSync(join(out, 'x/vendor/lib/lib.txt'), 'utf8')).toBe('lib');
  expect(existsSync(join(out, 'y/vendor/lib/lib.txt'))).toBe(false);
  expect(git(join(out, 'x'), 'rev-parse', 'HEAD')).toBe(whole);
  expect(git(join(out, 'x'), 'status', '--porcelain')).toBe('');
  expect(git(join(out, 'x'), 'config', 'remote.origin.url')).toBe(`${server.url}/app.git`);
  // Who built it is nobody's business.
  for (const path of ['x', 'x/vendor/lib']) expect(git(join(out, path), 'reflog')).toBe('');
});

test('build() gives files 0644 or 0755 whatever the umask is, and the time of the commit when asked', async () => {
  const { dir, work, out, commit, run } = createScene();
  writeFileSync(join(work, 'run'), '#!/bin/sh\n');
  chmodSync(join(work, 'run'), 0o700);
  commit({ 'a.txt': 'a' });
  await using server = await startGitServer(dir);
  const before = process.umask(0o077);
  try {
    await run(`FROM scratch\nADD ${server.url}/app.git?mtime=commit /\n`);
  } finally {
    process.umask(before);
  }
  expect(lstatSync(join(out, 'run')).mode & 0o7777).toBe(0o755);
  const { mode, mtimeMs } = statSync(join(out, 'a.txt'));
  expect([mode & 0o7777, mtimeMs]).toEqual([0o644, 1_600_000_000_000]);
});

test.each([
  [
    'GIT_AUTH_TOKEN',
    'tok-en-value',
    `basic ${Buffer.from('x-access-token:tok-en-value').toString('base64')}`,
  ],
  ['GIT_AUTH_HEADER.127.0.0.1', 'Basic whole-header', 'Basic whole-header'],
])('build() signs in with the secret %s and shows it to nobody', async (id, value, header) => {
  const { dir, work, out, commit, run } = createScene();
  commit({ 'a.txt': 'private' });
  git(work, 'clone', '-q', '--bare', '.', join(dir, 'served.git'));
  git(join(dir, 'served.git'), 'update-server-info');
  await using server = await startWebServer(dir, (request, response) => {
    if (request.headers.authorization === header) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    return true;
  });
  const secrets = { [id]: { type: 'value', value } } as const;
  const text = `FROM scratch\nADD ${server.url}/served.git /\n`;
  await run(text, { secrets });
  expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('private');
  const error = await run(text).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: 'GIT_FAILED', hint: expect.stringContaining('GIT_AUTH_TOKEN') });
  const wrong = await run(`FROM scratch\nADD ${server.url}/none.git /\n`, { secrets }).catch(
    (cause: unknown) => cause,
  );
  expect(JSON.stringify(wrong)).not.toMatch(/tok-en-value|whole-header/);
});

test('build() signs in with the password of an address, and no command line shows it', async () => {
  const { dir, work, out, commit, run } = createScene();
  const serve = (from: string, name: string): void => {
    git(from, 'clone', '-q', '--bare', '.', join(dir, name));
    git(join(dir, name), 'update-server-info');
  };
  const lib = join(dir, 'lib');
  mkdirSync(lib);
  git(lib, 'init', '-q', '.');
  writeFileSync(join(lib, 'lib.txt'), 'lib');
  git(lib, 'add', '-A');
  git(lib, 'commit', '-q', '-m', 'lib');
  serve(lib, 'lib.git');
  git(work, 'submodule', '-q', 'add', lib, 'lib');
  git(work, 'config', '-f', '.gitmodules', 'submodule.lib.url', '../lib.git');
  commit({ 'a.txt': 'private' });
  serve(work, 'served.git');
  const header = `Basic ${Buffer.from('me:p@ss').toString('base64')}`;
  await using server = await startWebServer(dir, (request, response) => {
    if (request.headers.authorization === header) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    return true;
  });
  const shim = join(dir, 'bin');
  mkdirSync(shim);
  const real = execFileSync('/bin/sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh\necho "$@" >>${join(dir, 'log')}\nexec ${real} "$@"\n`;
  writeFileSync(join(shim, 'git'), script, { mode: 0o755 });
  const remote = `${server.url.replace('://', '://me:p%40ss@')}/served.git`;
  await run(`FROM scratch\nADD ${remote} /\n`, { env: { PATH: `${shim}:${process.env.PATH}` } });
  expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('private');
  expect(readFileSync(join(out, 'lib/lib.txt'), 'utf8')).toBe('lib');
  const log = readFileSync(join(dir, 'log'), 'utf8');
  expect(log).toContain(`${server.url}/served.git`);
  expect(log).not.toMatch(/p%40ss|p@ss/);
});

test('build() names the program when there is no git, and needs exit code 3', async () => {
  const { dir, run, commit } = createScene();
  commit({ 'a.txt': 'a' });
  const promise = run('FROM scratch\nADD git://127.0.0.1:9/app.git /\n', {
    env: { PATH: join(dir, 'empty') },
  });
  await expect(promise).rejects.toMatchObject({ code: 'GIT_NOT_FOUND', category: 'environment' });
});

test('build() runs no hook and reads no configuration of the user when it fetches', async () => {
  const { dir, out, commit, run } = createScene();
  commit({ 'a.txt': 'a' });
  await using server = await startGitServer(dir);
  const home = join(dir, 'home');
  mkdirSync(home);
  writeFileSync(join(home, '.gitconfig'), `[url "git://127.0.0.1:9/"]\n\tinsteadOf = ${server.url}/\n`);
  await run(`FROM scratch\nADD ${server.url}/app.git /\n`, { env: { PATH: process.env.PATH, HOME: home } });
  expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('a');
});

test('build() ends git and leaves nothing when it is cancelled while a server is silent', async () => {
  const { dir, run } = createScene();
  const server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const cancel = new AbortController();
  const url = `git://127.0.0.1:${port}/app.git`;
  const running = run(`FROM scratch\nADD ${url}#${'1'.repeat(40)} /\n`, { signal: cancel.signal });
  const settled = expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
  await sleep(1000);
  cancel.abort();
  await settled;
  expect(readdirSync(join(dir, 'store/tmp'))).toEqual([]);
  expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain(`:${port}/app.git`);
});

const sshd = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((path) => existsSync(path));

test.skipIf(sshd === undefined || process.getuid?.() !== 0)(
  'build() clones by ssh with the key of --ssh, and holds a host to its first key',
  async () => {
    const { dir, work, out, commit, run } = createScene();
    commit({ 'a.txt': 'by ssh' });
    const port = await startSshServer(dir);
    const url = `ssh://root@127.0.0.1:${port}${work}`;
    const text = `FROM scratch\nADD ${url} /\n`;
    const ssh = { default: { type: 'keys', files: [join(dir, 'key')] } } as const;
    await expect(run(text)).rejects.toMatchObject({ hint: expect.stringContaining('--ssh default') });
    await run(text, { ssh });
    expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('by ssh');
    const known = join(dir, 'store/git/known_hosts');
    const [line = ''] = readFileSync(known, 'utf8').split('\n');
    expect(line).toContain(`[127.0.0.1]:${port} `);
    commit({ 'a.txt': 'later' });
    const { publicKey } = makeKey(dir, 'stranger');
    writeFileSync(known, `[127.0.0.1]:${port} ${publicKey}\n`);
    await expect(run(text, { ssh })).rejects.toMatchObject({ code: 'GIT_FAILED' });
  },
);

function isCached({ cachedSteps, totalSteps }: BuildResult): boolean {
  return cachedSteps === totalSteps;
}

function makeKey(dir: string, name: string): { publicKey: string } {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)]);
  return {
    publicKey: readFileSync(join(dir, `${name}.pub`), 'utf8')
      .trim()
      .split(' ')
      .slice(0, 2)
      .join(' '),
  };
}

async function startSshServer(dir: string): Promise<number> {
  makeKey(dir, 'host');
  const { publicKey } = makeKey(dir, 'key');
  writeFileSync(join(dir, 'authorized'), `${publicKey}\n`, { mode: 0o600 });
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address() as { port: number };
  await new Promise((done) => probe.close(done));
  const config = [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${join(dir, 'host')}`,
    `AuthorizedKeysFile ${join(dir, 'authorized')}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin prohibit-password',
  ];
  writeFileSync(join(dir, 'sshd_config'), `${config.join('\n')}\n`);
  const server: ChildProcess = spawn(sshd ?? '', ['-D', '-e', '-f', join(dir, 'sshd_config')], {
    stdio: 'ignore',
  });
  onTestFinished(() => void server.kill());
  for (let tries = 0; tries < 400; tries++) {
    await sleep(50);
    if (isListening(port)) return port;
  }
  throw new Error('sshd did not start');
}

function isListening(port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'utf8').includes(`0100007F:${hex} 00000000:0000 0A`);
}
