import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type MemoryDisk, mountMemoryDisk } from '../support/memory-disk.ts';
import { createNormalUser, whyNoNormalUser } from '../support/normal-user.ts';
import { startRegistry } from '../support/registry.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const OCIBUILD = join(ROOT, 'bin/ocibuild');
const TIMEOUT_MS = 300_000;

let work = '';
let store = '';
/** For what one test unpacks: a Debian is ten thousand files. */
let disk: MemoryDisk;

/** Runs a program to its end and returns its output; any other exit code than 0 fails the test. */
function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, OCIBUILD_ROOT: store, ...env },
    maxBuffer: 64 << 20,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error ?? status}\n${stdout}\n${stderr}`);
  return stdout;
}

function buildExample(name: string): void {
  run(process.execPath, ['scripts/example.mjs', name]);
}

interface Inspected {
  readonly Architecture: string;
  readonly Layers: readonly string[];
}

/** Reads the image as other people's tools do: skopeo from the store, then a copy, then umoci. */
function readWithOtherTools(name: string): string {
  const source = `oci:${store}:${name}:local`;
  const inspected = JSON.parse(run('skopeo', ['inspect', source])) as Inspected;
  expect(inspected.Layers.length).toBeGreaterThan(0);
  expect(inspected.Architecture).toBe(process.arch === 'x64' ? 'amd64' : process.arch);

  const layout = join(disk.dir, `${name}-layout`);
  run('skopeo', ['--insecure-policy', 'copy', '--quiet', source, `oci:${layout}:it`]);
  const bundle = join(disk.dir, `${name}-umoci`);
  run('umoci', ['unpack', '--image', `${layout}:it`, bundle]);
  return join(bundle, 'rootfs');
}

function unpack(name: string): string {
  const bundle = join(disk.dir, `${name}-bundle`);
  run(OCIBUILD, ['unpack', `${name}:local`, bundle]);
  return bundle;
}

function runContainer(bundle: string, id: string): string {
  try {
    return run('runc', ['run', '--bundle', bundle, id]);
  } finally {
    spawnSync('runc', ['delete', '--force', id], { stdio: 'ignore' });
  }
}

const PS = ['ps', '--format', 'json'];

function publishedPort(list: string): number | undefined {
  const [container] = JSON.parse(list) as { readonly ports: { readonly hostPort: number }[] }[];
  return container?.ports[0]?.hostPort;
}

/** A server needs a moment until it answers. */
async function fetchText(url: string, tries = 150): Promise<string> {
  for (let left = tries; ; left -= 1) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

describe('examples', () => {
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'ocibuild-examples-'));
    store = join(work, 'store');
    mkdirSync(store);
    expect(existsSync(join(ROOT, 'dist/cli.js'))).toBe(true);
  });

  afterAll(() => {
    rmSync(work, { recursive: true, force: true });
  });

  beforeEach(() => {
    disk = mountMemoryDisk();
  });

  afterEach(() => disk[Symbol.dispose]());

  it('busybox is a base that other tools unpack when built from scratch', { timeout: TIMEOUT_MS }, () => {
    buildExample('busybox');
    const rootfs = readWithOtherTools('busybox');
    expect(readdirSync(join(rootfs, 'bin'))).toContain('sh');
    expect(readFileSync(join(rootfs, 'etc/passwd'), 'utf8')).toContain('nobody:x:65534');
  });

  it('hello prints its message when runc runs it', { timeout: TIMEOUT_MS }, () => {
    buildExample('hello');
    const rootfs = readWithOtherTools('hello');
    expect(existsSync(join(rootfs, 'src'))).toBe(false);
    expect(runContainer(unpack('hello'), `ocibuild-e2e-hello-${process.pid}`)).toBe(
      'Hello, world! This file came out of a build without a daemon.\n',
    );
  });

  it('hello runs only what depends on a build argument when that changes', { timeout: TIMEOUT_MS }, () => {
    const build = (who: string): string => {
      const args = [
        'build',
        '--progress',
        'plain',
        '--build-arg',
        `WHO=${who}`,
        '-t',
        'hello:who',
        'examples/hello',
      ];
      return spawnSync(OCIBUILD, args, {
        cwd: ROOT,
        encoding: 'utf8',
        env: { ...process.env, OCIBUILD_ROOT: store },
      }).stderr;
    };
    const first = build('Ada');
    expect(first).toMatch(/CACHED/);
    expect(first).toMatch(/DONE/);
    const second = build('Ada');
    const steps = second.split('\n').filter((line) => /^#\d+ (DONE|CACHED)/.test(line));
    expect(steps.filter((line) => line.includes('CACHED')).length).toBeGreaterThanOrEqual(3);
  });

  it('debian is bootstrapped from a tarball when ADD unpacks it', { timeout: TIMEOUT_MS }, () => {
    buildExample('debian');
    const rootfs = readWithOtherTools('debian');
    expect(readFileSync(join(rootfs, 'etc/os-release'), 'utf8')).toContain('VERSION_CODENAME=bookworm');
  });

  it('node-app prints from its bundle when runc runs it', { timeout: TIMEOUT_MS }, () => {
    buildExample('node-app');
    const bundle = unpack('node-app');
    expect(readdirSync(join(bundle, 'rootfs/app'))).toEqual(['main.cjs']);
    expect(existsSync(join(bundle, 'rootfs/opt/npm'))).toBe(false);
    expect(runContainer(bundle, `ocibuild-e2e-node-${process.pid}`)).toContain('A day has 1440 minutes.');
  });

  it('java-http answers on a published port when it was pushed, pulled and run', {
    timeout: TIMEOUT_MS,
  }, async () => {
    buildExample('java-http');
    await using registry = await startRegistry();
    const name = `${registry.host}/team/java-http:v1`;
    run(OCIBUILD, ['push', '-q', 'java-http:local', name]);
    const second = { OCIBUILD_ROOT: join(work, 'second') };
    run(OCIBUILD, ['pull', '-q', name], second);
    // Port 0 is any that is free: 8000 may be taken on this machine.
    run(OCIBUILD, ['run', '-d', '--name', 'web', '-p', '0:8000', name], second);
    try {
      expect(await fetchText(`http://127.0.0.1:${publishedPort(run(OCIBUILD, PS, second))}/hello`)).toBe(
        'hello world',
      );
      const files = run(
        OCIBUILD,
        ['exec', '-w', '/', 'web', 'sh', '-c', 'ls app.jar usr/bin/javac || id -un'],
        second,
      );
      expect(files).toBe('app.jar\nnobody\n');
    } finally {
      run(OCIBUILD, ['rm', '-f', 'web'], second);
    }

    if (whyNoNormalUser() !== undefined) return;
    using user = createNormalUser('ocibuild-java');
    const asUser = (...args: readonly string[]): string => {
      const [file, words] = user.command([join(user.checkout, 'bin/ocibuild'), ...args]);
      return run(file, words, { HOME: user.home, OCIBUILD_ROOT: join(user.home, 'store') });
    };
    asUser('run', '-q', '-d', '--name', 'web', '-p', '0:8000', name);
    try {
      expect(await fetchText(`http://127.0.0.1:${publishedPort(asUser(...PS))}/hello`)).toBe('hello world');
    } finally {
      asUser('rm', '-f', 'web');
    }
  });
});
