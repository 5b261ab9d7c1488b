import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { build } from '../../src/build/build.ts';
import { type LockOptions, lock } from '../../src/build/lock/lock.ts';
import type { BuildOptions } from '../../src/build/options.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { createProject, mountReadOnly, SHELL } from './cli-support.ts';

const top = mkdtempSync(join(tmpdir(), 'ocibuild-lock-'));
const layout = join(top, 'layout');
const PLATFORMS = 'linux/amd64,linux/arm64';
let registry: TestRegistry;
let files: Server;
let daemon: ChildProcess;
let [url, git, served] = ['', '', 'first\n'];
let count = 0;

/** Pushes an image for two platforms whose file holds `text`; gives the digest of its index. */
async function push(text: string): Promise<string> {
  const { digest } = await makeLayout(layout, `v${count++}`, [
    { layers: [{ 'etc/version': text }] },
    { layers: [{ 'etc/version': `${text} arm` }], platform: { os: 'linux', architecture: 'arm64' } },
  ]);
  await registry.push(layout, `v${count - 1}`, 'base:1');
  return digest;
}

function commit(text: string): string {
  const repository = join(top, 'git/repo');
  writeFileSync(join(repository, 'f'), text);
  const run = (...args: string[]) =>
    execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      encoding: 'utf8',
    });
  run('add', '.');
  run('commit', '-q', '-m', text);
  return run('rev-parse', 'HEAD').trim();
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

beforeAll(async () => {
  registry = await startRegistry();
  files = createServer((_request, response) => response.end(served));
  await new Promise<void>((done) => files.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(files.address() as AddressInfo).port}/tool`;
  mkdirSync(join(top, 'git/repo'), { recursive: true });
  execFileSync('git', ['init', '-q', '-b', 'main', join(top, 'git/repo')]);
  const port = await freePort();
  daemon = spawn('git', [
    'daemon',
    '--export-all',
    '--reuseaddr',
    '--listen=127.0.0.1',
    `--port=${port}`,
    `--base-path=${join(top, 'git')}`,
  ]);
  git = `git://127.0.0.1:${port}/repo`;
  await vi.waitFor(() => promisify(execFile)('git', ['ls-remote', git]), { timeout: 20_000 });
});

afterAll(async () => {
  daemon?.kill();
  files?.close();
  await registry?.[Symbol.asyncDispose]();
  rmSync(top, { recursive: true, force: true });
});

let dir: string;
let options: LockOptions & BuildOptions;

function dockerfile(text: string): void {
  writeFileSync(join(dir, 'Dockerfile'), text);
}

beforeEach(() => {
  dir = mkdtempSync(join(top, 'context-'));
  const outputs = [{ type: 'local' as const, dest: join(dir, 'out') }];
  options = { context: dir, root: join(top, 'store'), platform: PLATFORMS, env: {}, outputs };
});

const lockText = () => readFileSync(join(dir, 'Dockerfile.lock'), 'utf8');
const built = (path: string) => readFileSync(join(dir, 'out/linux_amd64', path), 'utf8');

describe('lock()', () => {
  it('holds a build to what names meant when it was written, wherever they have moved since', async () => {
    const image = await push('one');
    const first = commit('one\n');
    served = 'first\n';
    dockerfile(`FROM ${registry.host}/base:1\nADD ${url} /tool\nADD ${git}#main /repo/\n`);

    const { changes, fromStore } = await lock(options);
    expect(fromStore).toEqual([]);
    expect(JSON.parse(lockText())).toEqual({
      version: 1,
      images: { [`${registry.host}/base:1`]: image },
      urls: { [url]: expect.stringMatching(/^sha256:/) },
      git: { [`${git}#main`]: first },
    });
    expect(changes.map(({ kind, before }) => [kind, before])).toEqual([
      ['image', undefined],
      ['url', undefined],
      ['git', undefined],
    ]);

    await push('two');
    commit('two\n');
    const before = lockText();
    await build({ ...options, locked: true });
    expect([built('etc/version'), built('tool'), built('repo/f')]).toEqual(['one', 'first\n', 'one\n']);

    await expect(lock({ ...options, check: true })).rejects.toMatchObject({
      code: 'LOCK_OUTDATED',
      details: {
        changes: [
          { kind: 'image', before: image },
          { kind: 'git', before: first },
        ],
      },
    });
    expect(lockText()).toBe(before);
    expect((await lock(options)).changes).toHaveLength(2);
    await lock({ ...options, check: true });
    await build({ ...options, locked: true });
    expect([built('etc/version'), built('repo/f')]).toEqual(['two', 'two\n']);
  });

  it('names the entry when a locked build cannot have what is locked', async () => {
    await push('three');
    served = 'second\n';
    dockerfile(`FROM ${registry.host}/base:1\nADD ${url}?x /tool\n`);
    await expect(build({ ...options, locked: true })).rejects.toMatchObject({ code: 'LOCK_NOT_FOUND' });
    await lock(options);

    served = 'third\n';
    // Another store: what this machine still has does not help.
    const elsewhere = { ...options, root: join(top, 'other-store'), locked: true };
    await expect(build(elsewhere)).rejects.toMatchObject({
      code: 'LOCK_OUTDATED',
      message: expect.stringContaining(`${url}?x`),
      source: { ranges: [{ start: { line: 2 } }] },
    });

    dockerfile(`FROM ${registry.host}/base:2\n`);
    await expect(build(elsewhere)).rejects.toMatchObject({
      code: 'LOCK_OUTDATED',
      message: expect.stringContaining('base:2'),
      source: { ranges: [{ start: { line: 1 } }] },
    });

    dockerfile(`FROM ${registry.host}/base:1\n`);
    const gone = lockText().replace(/(base:1": "sha256:).{64}/, `$1${'0'.repeat(64)}`);
    writeFileSync(join(dir, 'Dockerfile.lock'), gone);
    await expect(build(elsewhere)).rejects.toMatchObject({ code: 'LOCK_OUTDATED' });
    writeFileSync(join(dir, 'Dockerfile.lock'), '{');
    await expect(build(elsewhere)).rejects.toMatchObject({ code: 'LOCK_INVALID' });
  });

  it('looks at all stages, those of other files too, or at those of the target', async () => {
    const image = await push('four');
    dockerfile(
      `# syntax=ocibuild\nFROM ${registry.host}/base:1 AS one\nFROM scratch AS two\nFROM scratch\nCOPY --from=file:f /etc /etc/\n`,
    );
    writeFileSync(
      join(dir, 'f'),
      `FROM ${registry.host}/base:1@${image} AS pinned\nFROM two AS never\nFROM pinned`,
    );
    expect(Object.keys((await lock(options)).lock.images)).toEqual([`${registry.host}/base:1`]);
    expect((await lock({ ...options, target: 'two' })).changes).toMatchObject([
      { name: `${registry.host}/base:1`, before: image },
    ]);
  });
});

describe('ocibuild lock', () => {
  it('prints what changed, and --check fails when something did', async () => {
    const project = createProject({ Dockerfile: `${SHELL}ADD ${url} /tool\n` });
    served = 'a';
    const first = await project.run(['lock', '.']);
    expect(first).toMatchObject({ code: 0, stdout: Buffer.alloc(0) });
    expect(first.stderr).toContain(`+ url ${url}\n`);
    expect((await project.run(['lock', '-t', 'x', '.'])).stderr).toMatch(/is up to date: 1 entry\n$/);
    served = 'b';
    const check = await project.run(['lock', '--check', '.']);
    expect(check.code).toBe(1);
    expect(check.stderr).toMatch(/~ url .*\n.*\n {3}-> sha256:.*\nerror\[LOCK_OUTDATED\]/);
    expect((await project.run(['--locked', '-q', '-t', 'x', '.'])).code).toBe(0);
  });

  it('is told to have no place where the context cannot be written to', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const { code, stderr } = await project.run(['lock', mountReadOnly(project.dir)]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^error\[EXPORT_TARGET_INVALID\].*not writable/),
    ]);
  });

  it('is looked at by a build that has nothing to do', async () => {
    const project = createProject({ Dockerfile: `${SHELL}ADD ${url} /tool\n` });
    expect((await project.run(['--locked', '-t', 'x', '.'])).code).toBe(2);
    await project.run(['lock', '.']);
    await sleep(1100);
    for (let i = 0; i < 2; i++) expect((await project.run(['--locked', '-q', '-t', 'x', '.'])).code).toBe(0);
    // Without the lock the file could be another one at any time.
    expect(readdirSync(join(project.store, 'last-builds'))).toHaveLength(1);
    project.write({ 'Dockerfile.lock': '{}' });
    const broken = await project.run(['--locked', '-q', '-t', 'x', '.']);
    expect([broken.code, broken.stderr]).toEqual([2, expect.stringContaining('LOCK_INVALID')]);
  });
});
