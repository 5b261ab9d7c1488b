import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sweepContainers } from '../../src/executor/reaper.ts';
import { removeBundle } from '../../src/executor/remove-bundle.ts';
import { defaultStateDir } from '../../src/executor/runc.ts';
import { SYS, sys } from '../../src/layer/sys.ts';
import { createNormalUser, type NormalUser } from '../support/normal-user.ts';
import { CASES, LONG_PATH, MANY_LAYERS } from './executor-cases.ts';
import type { StepCase, StepResult } from './executor-runner.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');
const RUNNER = 'test/e2e/executor-runner.ts';
const HAS_CRUN = existsSync('/usr/bin/crun');
const OLD = 1_600_000_000;

interface Kind {
  readonly name: string;
  readonly mode: 'root' | 'rootless';
  readonly runtime: string;
}

const KINDS: readonly Kind[] = [
  { name: 'runc as root', mode: 'root', runtime: 'runc' },
  { name: 'runc as a normal user', mode: 'rootless', runtime: 'runc' },
  ...(HAS_CRUN ? [{ name: 'crun as root', mode: 'root', runtime: 'crun' } as const] : []),
  ...(HAS_CRUN ? [{ name: 'crun as a normal user', mode: 'rootless', runtime: 'crun' } as const] : []),
];

const made: string[] = [];

let user: NormalUser;

beforeAll(() => {
  user = createNormalUser('ocibuild-e2e');
});

afterAll(() => {
  user[Symbol.dispose]();
  for (const dir of made) {
    rmSync(defaultStateDir(join(dir, 'run'), false), { recursive: true, force: true });
    rmSync(dir, { recursive: true, force: true });
  }
});

/** A root of static busybox with links, users and a whiteout layer, in a directory that the runner's user owns. */
function makeWorkspace(kind: Kind, cases: readonly StepCase[]): string {
  const dir = mkdtempSync('/tmp/ocibuild-executor-');
  made.push(dir);
  chmodSync(dir, 0o755);
  const write = (path: string, text: string) => {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  mkdirSync(join(dir, 'lower/bin'), { recursive: true });
  copyFileSync('/bin/busybox', join(dir, 'lower/bin/busybox'));
  for (const name of [
    'sh',
    'ls',
    'cat',
    'env',
    'id',
    'sleep',
    'stat',
    'mount',
    'true',
    'hostname',
    'touch',
    'chmod',
    'chown',
    'mkdir',
    'ln',
    'rm',
    'kill',
    'pwd',
  ]) {
    symlinkSync('busybox', join(dir, 'lower/bin', name));
  }
  for (const path of ['proc', 'sys', 'dev', 'tmp', 'run', 'var', 'usr/real/sub']) {
    mkdirSync(join(dir, 'lower', path), { recursive: true });
  }
  chmodSync(join(dir, 'lower/tmp'), 0o1777);
  write('lower/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:50:Ann:/home/ann:/bin/sh\n');
  write('lower/etc/group', 'root:x:0:\nusers:x:50:\nstaff:x:60:ann\nwheel:x:70:bob,ann\n');
  write('lower/opt/app/file', 'app');
  symlinkSync('/usr/real', join(dir, 'lower/link'));
  symlinkSync('../../../../../..', join(dir, 'lower/escape'));
  symlinkSync('/run', join(dir, 'lower/var/run'));
  write('with-hosts/etc/hosts', 'image hosts\n');
  mkdirSync(join(dir, 'without-hosts/etc'), { recursive: true });
  sys().mknod(join(dir, 'without-hosts/etc/hosts'), { type: SYS.S_IFCHR, mode: 0o600 });
  write('file', 'secret');
  write('source/file', 'from host\n');
  mkdirSync(join(dir, 'cache'));
  for (const layer of MANY_LAYERS) mkdirSync(join(dir, layer), { recursive: true });
  write(`${LONG_PATH}/deep`, 'deep\n');
  for (const path of ['lower/etc', 'lower/opt/app', 'lower/run']) utimesSync(join(dir, path), OLD, OLD);
  writeFileSync(join(dir, 'cases.json'), JSON.stringify(cases).replaceAll('DIR/', `${dir}/`));
  if (kind.mode === 'rootless') {
    const { uid, gid } = user;
    execFileSync('chown', ['-hR', `${uid}:${gid}`, dir]);
    chownSync(dir, uid, gid);
  }
  return dir;
}

function command(kind: Kind, dir: string): [string, string[]] {
  const words = (node: string, checkout: string): string[] => [
    node,
    '--disable-warning=ExperimentalWarning',
    join(checkout, RUNNER),
    dir,
    kind.mode,
    kind.runtime,
  ];
  if (kind.mode === 'rootless') return user.command(words(user.node, user.checkout));
  const [file = '', ...args] = words(process.execPath, CHECKOUT);
  return [file, args];
}

function runAll(
  kind: Kind,
  cases: readonly StepCase[],
): { dir: string; results: Record<string, StepResult> } {
  const dir = makeWorkspace(kind, cases);
  const [file, args] = command(kind, dir);
  const run = spawnSync(file, args, {
    encoding: 'utf8',
    cwd: '/',
    maxBuffer: 1 << 26,
    env: { PATH: process.env.PATH },
  });
  if (run.status !== 0) throw new Error(`runner ended with ${run.status ?? run.signal}: ${run.stderr}`);
  expect(run.stderr).toBe('');
  return { dir, results: readResults(join(dir, 'results.json')) };
}

function readResults(file: string): Record<string, StepResult> {
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, StepResult>;
}

/** What a step must not leave: mounts, bundles, runtime state, cgroups, processes. */
function leftovers(dir: string): string[] {
  const found: string[] = [];
  if (readFileSync('/proc/self/mountinfo', 'utf8').includes(dir)) found.push('a mount');
  found.push(...readdirSync(join(dir, 'run')).map((name) => `bundle ${name}`));
  for (const state of [defaultStateDir(join(dir, 'run'), false), defaultStateDir(join(dir, 'run'), true)]) {
    if (existsSync(state)) found.push(...readdirSync(state).map((name) => `state ${name}`));
  }
  const cgroups = spawnSync('find', ['/sys/fs/cgroup', '-path', '*/ocibuild/*', '-type', 'd'], {
    encoding: 'utf8',
  });
  const file = join(dir, 'results.json');
  const results = existsSync(file) ? readResults(file) : {};
  const ids = new Set(Object.values(results).map(({ id }) => id));
  found.push(...cgroups.stdout.split('\n').filter((path) => ids.has(basename(path))));
  const processes = spawnSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' }).stdout;
  found.push(...processes.split('\n').filter((line) => line.includes(dir)));
  return found;
}

async function eventually(check: () => boolean, ms = 5000): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(50)) if (check()) return true;
  return check();
}

describe.each(KINDS)('executor with $name', (kind) => {
  let dir = '';
  let results: Record<string, StepResult> = {};
  const of = (name: string): StepResult => {
    const result = results[name];
    if (result === undefined) throw new Error(`no result of ${name}`);
    return result;
  };

  beforeAll(() => {
    ({ dir, results } = runAll(kind, CASES));
  });

  it('run() gives output and exit status when the process ends', () => {
    expect(of('output')).toMatchObject({ status: { code: 0 }, stdout: 'out\npartial', stderr: 'err\n' });
    expect(of('exit').status).toEqual({ code: 7 });
    expect(of('signal').status).toEqual({ code: 137, signal: 9 });
    expect(of('lines').stdout).toBe(Array.from({ length: 20_000 }, (_, n) => `${n + 1}\n`).join(''));
    expect(of('background')).toMatchObject({ status: { code: 0 }, stdout: 'started\n' });
    expect(of('stdin').stdout).toBe('end\n');
  });

  it('run() refuses with a code when the process cannot start', () => {
    expect(of('not-found').code).toBe('RUN_START_FAILED');
    expect(of('not-found').stderr).toBe('');
    expect(of('not-executable').code).toBe('RUN_START_FAILED');
    expect(of('user-unknown').code).toBe('RUN_USER_UNKNOWN');
    expect(of('group-unknown').code).toBe('RUN_USER_UNKNOWN');
    expect(of('cwd-file').code).toBe('RUN_CWD_INVALID');
    expect(of('bad-mount').code).toBe('MOUNT_INVALID');
    expect(of('overlay-mount-missing').code).toBe('MOUNT_INVALID');
  });

  it('run() sets the environment when variables repeat or are absent', () => {
    const lines = (name: string) => of(name).stdout.trim().split('\n');
    expect(lines('env')).toEqual(expect.arrayContaining(['A=3', 'B=2', 'EMPTY=', 'HOME=/home/ann']));
    expect(lines('env')).toContain('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
    expect(lines('env-own')).toEqual(expect.arrayContaining(['PATH=/bin', 'HOME=/x']));
  });

  it('run() looks the user up when names or numbers are given', () => {
    expect(of('user-name').stdout).toBe('uid=1000(ann) gid=50(users) groups=50(users),60(staff),70(wheel)\n');
    expect(of('user-number').stdout).toBe('1234\n0\n0\n');
    expect(of('user-group').stdout).toBe('uid=1000(ann) gid=60(staff) groups=60(staff)\n');
    expect(of('user-known-number').stdout).toBe('50 60 70\n');
  });

  it('run() enters the working directory when it is missing or behind a link', () => {
    expect(of('cwd-made').stdout).toBe('/new/deep\n755 1000:50\n755 1000:50\n');
    expect(of('cwd-made').upper['new/deep']).toBe('d 755 1000:50');
    expect(of('cwd-link').stdout).toBe('/usr/real/sub\n');
    expect(of('cwd-link').upper).toEqual({});
    expect(of('cwd-outside').stdout).toBe('/x\n');
  });

  it('run() shows its own hosts and resolv.conf read-only when the image has others', () => {
    expect(of('hosts').stdout).toBe(
      '127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tdb\nfe80::1\tsix\nbox\n',
    );
    expect(of('resolv').stdout).toContain('nameserver ');
    expect(of('files-readonly').stderr.match(/Read-only file system/g)).toHaveLength(2);
    for (const name of ['hosts-in-image', 'hosts-removed']) {
      expect(of(name).stdout).toContain('localhost buildkitsandbox');
    }
    expect(of('hosts-in-image').upper).toEqual({});
  });

  it('run() leaves nothing of mount points in the upper when the step changes nothing', () => {
    for (const name of [
      'no-change',
      'hosts',
      'stub-in-lower-dir',
      'overlay-mount',
      'bind',
      'masked',
      'capabilities',
    ]) {
      expect([name, of(name).upper]).toEqual([name, {}]);
    }
    expect(of('bare-root')).toMatchObject({ status: { code: 0 }, stdout: 'hosts\nresolv.conf\n' });
    expect(of('bare-root').upper).toEqual({ dev: 'd 755 0:0', proc: 'd 755 0:0', sys: 'd 755 0:0' });
    expect(Object.keys(of('stub-parents').upper).sort()).toEqual(['m2', 'm2/f']);
  });

  it('run() restores the times of a directory when it had to make a mount point in it', () => {
    expect(of('stub-behind-link').stdout).toBe('/run/secret\nsecret');
    expect(of('hosts-removed').upper['etc/hosts']).toBeUndefined();
    for (const [path, mtime] of [
      ...Object.entries(of('stub-behind-link').mtimes),
      ...Object.entries(of('hosts-removed').mtimes),
    ]) {
      if (path === 'run') expect(mtime).toBe(OLD * 1000);
    }
    expect(Object.keys(of('stub-behind-link').upper).filter((path) => path !== 'run')).toEqual([]);
  });

  it('run() keeps a changed directory when mount points stand in it', () => {
    expect(of('parent-changed').upper).toEqual({ etc: 'd 700 0:0', opt: 'd 711 0:0' });
    expect(of('parent-of-stub-changed').upper).toEqual({});
  });

  it('run() mounts the root when layers are many or their paths long', () => {
    expect(of('many-layers').message).toBeUndefined();
    expect(of('many-layers')).toMatchObject({ status: { code: 0 }, stdout: 'from host\n' });
    expect(of('long-path')).toMatchObject({ status: { code: 0 }, stdout: 'deep\n' });
  });

  it('run() records deletions as whiteouts when files of the base go', () => {
    expect(of('whiteout').upper['etc/group']).toMatch(/^c \d+ 0:0 0$/);
    expect(of('whiteout').upper['opt/f']).toBe('f 644 0:0');
  });

  it('run() mounts what the step asks for when binds, layers and tmpfs are given', () => {
    expect(of('bind').stdout).toBe('from host\n');
    expect(of('bind').stderr).toContain('Read-only file system');
    expect(readFileSync(join(dir, 'cache/made'), 'utf8')).toBe('y\n');
    expect(readFileSync(join(dir, 'source/file'), 'utf8')).toBe('from host\n');
    expect(of('overlay-mount').stdout).toContain('wheel:x:70:bob,ann');
    expect(of('overlay-mount').stdout).toContain('hosts\n');
    expect(of('overlay-mount').stderr).toContain('Read-only file system');
    expect(of('overlay-mount-rw').stdout).toBe('x\n');
    expect(existsSync(join(dir, 'lower/etc/y'))).toBe(false);
    expect(of('tmpfs-size').stdout).toMatch(/\s1024\s.*\n1777\n$/);
    expect(of('shm').stdout).toMatch(/\s2048\s/);
  });

  it("run() gives Docker's privileges when the step is sandboxed", () => {
    // crun without a device filter may not let a step make device nodes.
    const full =
      kind.mode === 'root' && kind.runtime === 'crun' && of('capabilities').stdout.includes('a00425fb')
        ? 'a00425fb'
        : 'a80425fb';
    const masks = (own: string) =>
      ['Inh:0', `Prm:${own}`, `Eff:${own}`, `Bnd:${full}`, 'Amb:0']
        .map((item) => item.split(':'))
        .map(([name = '', mask = '']) => `Cap${name}:\t${mask.padStart(16, '0')}`);
    const lines = of('capabilities').stdout.trim().split('\n');
    expect(lines.filter((line) => line.startsWith('Cap'))).toEqual(masks(full));
    expect(of('capabilities-user').stdout.trim().split('\n')).toEqual(masks('0'));
    expect(lines).toEqual(expect.arrayContaining(['NoNewPrivs:\t0', 'Seccomp:\t2', 'Umask:\t0022']));
    expect(of('seccomp-unshare').stderr).toContain('Operation not permitted');
    if (kind.runtime === 'runc') expect(full).toBe('a80425fb');
  });

  it('run() hides the host when the step looks around', () => {
    expect(of('masked').stdout).toBe('0\n0\n');
    expect(of('masked').stderr.match(/Read-only file system/g)).toHaveLength(2);
    expect(of('pid-namespace').stdout.split('\n')[0]).toBe('1');
    expect(Number(of('pid-namespace').stdout.split('\n')[1])).toBeLessThan(6);
    const mounts = of('mounts').stdout;
    for (const line of [
      / on \/sys type sysfs \(ro,nosuid,nodev,noexec/,
      / on \/dev type tmpfs \(rw,nosuid.*size=65536k/,
      / on \/dev\/mqueue type mqueue/,
    ]) {
      expect(mounts).toMatch(line);
    }
    expect(mounts).not.toMatch(/ on \/run type/);
    for (const name of [
      'null',
      'zero',
      'full',
      'random',
      'urandom',
      'tty',
      'ptmx',
      'pts',
      'shm',
      'mqueue',
      'fd',
      'stdin',
    ]) {
      expect(of('devices').stdout.split('\n')).toContain(name);
    }
    expect(of('devices').stdout).toMatch(/\n4\n/);
    expect(of('ulimit').stdout).toBe('100\n200\n');
  });

  it('run() lifts the sandbox when the step is insecure', () => {
    const { stdout } = of('insecure');
    const [own = '0', host = '1'] = [
      /CapEff:\s*(\w+)/.exec(stdout)?.[1],
      /CapBnd:\s*(\w+)/.exec(stdout)?.[1],
    ];
    expect(own).toBe(host);
    expect(BigInt(`0x${own}`) & (1n << 21n)).not.toBe(0n);
    expect(stdout).toContain('Seccomp:\t0');
    expect(stdout).toMatch(/ on \/sys type sysfs \(rw/);
  });

  it('run() takes the network away when it is none', () => {
    expect(of('network-none').stdout).toBe(' lo\nup\n');
    expect(of('network-host').stdout).toBe(`${readlinkSync('/proc/self/ns/net')}\n`);
  });

  it('run() keeps modes and owners when the step sets them', () => {
    expect(of('permissions').upper).toMatchObject({
      'tmp/f': 'f 755 12:34',
      'tmp/d': 'd 1777 0:0',
      'tmp/l': 'l 777 0:0 -> f',
      'tmp/u': 'f 644 0:0',
    });
  });

  it('run() keeps steps apart when four run at a time', () => {
    for (const n of [1, 2, 3, 4])
      expect(of(`side-${n}`)).toMatchObject({ status: { code: 0 }, stdout: `${n}\n` });
  });

  it('run() ends the container when it is cancelled', () => {
    expect(of('cancel')).toMatchObject({ code: 'CANCELLED', stdout: 'ready\n' });
    expect(of('cancel').ms).toBeLessThan(4000);
  });

  it('run() ends the container when its runtime is killed', () => {
    expect(of('kill-runtime')).toMatchObject({ status: { code: 137, signal: 9 }, stdout: 'ready\n' });
  });

  it('close() leaves nothing when all is done', async () => {
    expect(await eventually(() => leftovers(dir).length === 0)).toBe(true);
    expect(leftovers(dir)).toEqual([]);
  });

  it('the reaper ends the container when the process is killed', async () => {
    const killed = await startHanging(kind);
    killed.kill();
    expect(await eventually(() => leftovers(killed.dir).length === 0 && !killed.alive())).toBe(true);
    expect(leftovers(killed.dir)).toEqual([]);
  });
});

it('removeBundle() touches nothing of what is still mounted in a bundle', () => {
  const dir = mkdtempSync('/tmp/ocibuild-executor-');
  made.push(dir);
  const [source, bundle] = [join(dir, 'source'), join(dir, 'bundle')];
  mkdirSync(source);
  mkdirSync(join(bundle, 'rootfs'), { recursive: true });
  writeFileSync(join(source, 'file'), 'kept');
  writeFileSync(join(bundle, 'hosts'), '');
  for (let i = 0; i < 2; i++) execFileSync('mount', ['--bind', source, join(bundle, 'rootfs')]);
  removeBundle(bundle);
  expect(existsSync(bundle)).toBe(false);
  expect(readFileSync(join(source, 'file'), 'utf8')).toBe('kept');
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(bundle);
});

describe.each(KINDS.filter((kind) => kind.mode === 'root'))('sweep after $name', (kind) => {
  it('sweepContainers() ends what is left when the reaper was killed too', async () => {
    const killed = await startHanging(kind);
    const reapers = spawnSync('pgrep', ['-f', `ocibuild-reaper ${killed.dir}/run`], { encoding: 'utf8' });
    for (const pid of reapers.stdout.trim().split('\n')) process.kill(Number(pid), 'SIGKILL');
    killed.kill();
    await sleep(300);
    expect(killed.alive()).toBe(true);
    const [id = ''] = readdirSync(join(killed.dir, 'run'));
    const stateDir = defaultStateDir(join(killed.dir, 'run'), false);
    await sweepContainers([{ id, dir: join(killed.dir, 'run', id) }], { runtime: kind.runtime, stateDir });
    expect(await eventually(() => leftovers(killed.dir).length === 0 && !killed.alive())).toBe(true);
    expect(leftovers(killed.dir)).toEqual([]);
  });
});

/** A runner whose only step hangs; its sleep has a number of its own, so that it is found among all processes. */
async function startHanging(kind: Kind): Promise<{ dir: string; kill: () => void; alive: () => boolean }> {
  const seconds = 90_000 + Math.floor(Math.random() * 9_000_000);
  const dir = makeWorkspace(kind, [{ name: `hang-${seconds}`, sh: `echo ready; sleep ${seconds}` }]);
  const [file, args] = command(kind, dir);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
  await new Promise<void>((done, fail) => {
    child.stdout.once('data', () => done());
    child.once('exit', (code, signal) => {
      const results = join(dir, 'results.json');
      const why = existsSync(results) ? readFileSync(results, 'utf8') : 'no results';
      fail(new Error(`the runner ended early with ${signal ?? code}: ${why}`));
    });
  });
  child.removeAllListeners('exit');
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const alive = () => spawnSync('pgrep', ['-f', `^sleep ${seconds}`]).status === 0;
  expect(await eventually(alive)).toBe(true);
  return {
    dir,
    alive,
    kill: () => {
      child.kill('SIGKILL');
      void ended;
    },
  };
}
