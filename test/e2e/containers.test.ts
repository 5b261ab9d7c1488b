import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createNormalUser, type NormalUser, whyNoNormalUser } from '../support/normal-user.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');
const why = whyNoNormalUser();

const DOCKERFILE = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-p", "/data/sub", "/etc"]
RUN ["/bin/busybox", "sh", "-c", "busybox --install -s /bin && echo seed >/data/f && chown -R 33:34 /data && echo app:x:1000:1001::/home/app:/bin/sh >/etc/passwd; echo staff:x:50: >/etc/group"]
ENV FROM_IMAGE=yes
CMD ["sh"]
`;
/** Prints, and ends with 3 when it is told to. */
const SERVICE = 'echo up; trap "echo down; exit 3" TERM; trap "exit 5" INT; while :; do sleep 0.05; done';

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Actor extends Disposable {
  readonly dir: string;
  readonly store: string;
  /** `ocibuild ARGS…` in `dir`. */
  start(args: readonly string[]): ChildProcess;
  /** The command line of `start`. */
  command(args: readonly string[]): readonly string[];
}

function createRoot(): Actor {
  const top = mkdtempSync(join(tmpdir(), 'ocibuild-containers-'));
  const [dir, store] = [join(top, 'app'), join(top, 'store')];
  mkdirSync(dir);
  const command = (args: readonly string[]) => [
    ...[process.execPath, '--disable-warning=ExperimentalWarning', join(CHECKOUT, 'dist/cli.js')],
    ...['--root', store, ...args],
  ];
  return {
    ...{ dir, store, command },
    start([...args]) {
      const [file = '', ...words] = command(args);
      return spawn(file, words, { cwd: dir });
    },
    [Symbol.dispose]: () => rmSync(top, { recursive: true, force: true }),
  };
}

function createUser(): Actor {
  const user: NormalUser = createNormalUser('ocibuild-run');
  const [dir, store] = [join(user.home, 'app'), join(user.home, 'store')];
  mkdirSync(dir);
  chownSync(dir, user.uid, user.gid);
  const command = (args: readonly string[]) => {
    const cli = ['--disable-warning=ExperimentalWarning', join(user.checkout, 'dist/cli.js')];
    const [file, words] = user.command([user.node, ...cli, '--root', store, ...args]);
    return [file, ...words];
  };
  return {
    ...{ dir, store, command },
    start(args) {
      const [file = '', ...words] = command(args);
      return spawn(file, words, { cwd: dir, env: { PATH: process.env.PATH, HOME: user.home } });
    },
    [Symbol.dispose]: () => user[Symbol.dispose](),
  };
}

function endOf(child: ChildProcess, input = ''): Promise<Run> {
  let [stdout, stderr] = ['', ''];
  child.stdin?.end(input);
  child.stdout?.on('data', (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr?.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  return new Promise((done) => child.on('close', (code) => done({ code, stdout, stderr })));
}

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly exitCode?: number;
  readonly pid?: number;
  readonly monitorPid?: number;
  readonly ports: readonly { readonly hostPort: number }[];
}

let shared: Actor;

async function prepare(actor: Actor): Promise<void> {
  const busybox = execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim();
  copyFileSync(busybox, join(actor.dir, 'busybox'));
  writeFileSync(join(actor.dir, 'Dockerfile'), DOCKERFILE);
  expect(await endOf(actor.start(['build', '-q', '-t', 'base', '.']))).toMatchObject({ code: 0 });
}

beforeAll(async () => {
  if (process.getuid?.() !== 0) return;
  shared = createRoot();
  await prepare(shared);
});

afterAll(() => shared?.[Symbol.dispose]());

const ACTORS = [
  { who: 'root', create: () => shared, reason: process.getuid?.() === 0 ? undefined : 'needs root' },
  { who: 'a normal user', create: createUser, reason: why },
];

describe.each(ACTORS)('containers of $who', ({ who, create, reason }) => {
  let actor: Actor;
  const run = (args: readonly string[], input?: string): Promise<Run> => endOf(actor.start(args), input);
  const text = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stderr: stderr.replaceAll(/^warning: The container cannot reach.*\n/gm, '') }).toEqual({
      code: 0,
      stderr: '',
    });
    return stdout;
  };
  const list = async (): Promise<readonly Shown[]> =>
    JSON.parse(await text('ps', '-a', '--format', 'json')) as Shown[];
  const names = (folder: string): string[] => {
    const dir = join(actor.store, folder);
    return existsSync(dir) ? readdirSync(dir).map((name) => `${folder}/${name}`) : [];
  };
  /** Bundles, containers, states of the runtime, mounts, processes and links of the network. */
  const leftovers = (): string[] => {
    const lines = (file: string, args: readonly string[]) =>
      spawnSync(file, args, { encoding: 'utf8' }).stdout.split('\n');
    return [
      ...['run', 'runtime', 'containers/names'].flatMap(names),
      ...names('containers').filter((name) => name !== 'containers/names'),
      ...readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(actor.store)),
      ...lines('ps', ['-eo', 'args']).filter(
        (line) => line.includes('monitor-main') && line.includes(actor.store),
      ),
    ];
  };

  beforeAll(async () => {
    if (reason !== undefined) return;
    actor = create();
    if (actor !== shared) await prepare(actor);
  });

  afterEach(async () => {
    if (reason !== undefined) return;
    for (const { id } of await list()) await run(['rm', '-f', id]);
    await expect.poll(leftovers, { timeout: 20_000 }).toEqual([]);
  });

  afterAll(() => {
    if (actor !== shared) actor?.[Symbol.dispose]();
  });

  it.skipIf(reason)(
    'run gives output, exit code, environment, user and folder when it stays in the foreground',
    async () => {
      // The last is for the container alone: Node would take it for ocibuild, were its own --env-file not shut out.
      writeFileSync(join(actor.dir, 'vars'), '# no\nFROM_FILE=1\nOCIBUILD_RUNTIME=/nowhere\n');
      const flags = [
        '-q',
        '--rm',
        '-i',
        '-u',
        'app',
        '-w',
        '/made/here',
        '-h',
        'box',
        '-e',
        'A=b',
        '--env-file',
        'vars',
      ];
      const script = 'id; pwd; env; cat; hostname; cat /etc/hosts; echo wrong >&2; exit 7';
      const { code, stdout, stderr } = await run(['run', ...flags, 'base', 'sh', '-c', script], 'typed\n');
      expect(code).toBe(7);
      expect(stderr).toMatch(/^wrong$/m);
      expect(stdout).toMatch(/^uid=1000\(app\) gid=1001/m);
      for (const line of [
        '/made/here',
        'A=b',
        'FROM_FILE=1',
        'OCIBUILD_RUNTIME=/nowhere',
        'FROM_IMAGE=yes',
        'HOME=/home/app',
        'typed',
        'box',
      ]) {
        expect(stdout.split('\n')).toContain(line);
      }
      expect(stdout).toMatch(/^\S+\s.*\bbox$/m);
    },
  );

  it.skipIf(reason ?? who !== 'root')('run gives 127 when the image lacks the program', async () => {
    const { code, stderr } = await run(['run', '--rm', '--network', 'none', 'base', 'nothing']);
    expect({ code, stderr }).toEqual({
      code: 127,
      stderr: expect.stringContaining('error[RUN_START_FAILED]: Cannot start "nothing"'),
    });
  });

  it.skipIf(reason)(
    'ps, exec, logs, stop, wait and rm work on a container when it was detached',
    async () => {
      const id = (await text('run', '-d', '--name', 'one', '-l', 'a=b', 'base', 'sh', '-c', SERVICE)).trim();
      expect(await list()).toMatchObject([{ id, name: 'one', status: 'running', labels: { a: 'b' } }]);
      const [inside, asUser, missing, nowhere, taken, running] = await Promise.all([
        run(['exec', 'one', 'sh', '-c', 'cat; exit 6']),
        text(
          'exec',
          '-u',
          'app',
          '-e',
          'B=c',
          '-w',
          '/data',
          id.slice(0, 5),
          'sh',
          '-c',
          'id -u; echo $B $HOME; pwd',
        ),
        run(['exec', 'one', 'nothing']),
        run(['exec', '-w', '/nowhere', 'one', 'pwd']),
        run(['run', '-d', '--name', 'one', 'base']),
        run(['rm', 'one']),
      ]);
      expect(inside).toEqual({ code: 6, stdout: '', stderr: '' });
      expect(asUser).toBe('1000\nc /home/app\n/data\n');
      expect(missing).toMatchObject({ code: 127, stdout: '' });
      expect(nowhere).toMatchObject({
        code: 127,
        stderr: expect.stringContaining('"/nowhere": no such file'),
      });
      expect(taken).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('error[CONTAINER_NAME_TAKEN]'),
      });
      expect(running).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('error[CONTAINER_STATE_INVALID]'),
      });
      const waited = text('wait', 'one');
      const followed = text('logs', '-f', 'one');
      expect(await text('stop', 'one')).toBe('one\n');
      expect(await waited).toBe('3\n');
      expect(await followed).toBe('up\ndown\n');
      expect(await text('logs', '--tail', '1', '-t', 'one')).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z down\n$/);
      expect(await list()).toMatchObject([{ status: 'stopped', exitCode: 3 }]);
      expect(await text('rm', '-f', 'one', 'nosuch')).toBe('one\n');
      expect(await run(['logs', 'one'])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('error[CONTAINER_NOT_FOUND]'),
      });
    },
  );

  it.skipIf(reason)('run publishes ports and keeps volumes when it is asked to', async () => {
    writeFileSync(join(actor.dir, 'vol.Dockerfile'), 'FROM base\nVOLUME /data\nEXPOSE 80\n');
    mkdirSync(join(actor.dir, 'host'));
    const mounts = ['-v', './host:/host:ro', '-v', 'kept:/data', '--tmpfs', '/t:size=1m'];
    const script = 'touch /x && ls -lnd /data; touch /host/x; df /t | tail -n 1; echo more >/data/more';
    const first = await run([
      'run',
      '-q',
      '--rm',
      ...mounts,
      '-f',
      'vol.Dockerfile',
      '.',
      'sh',
      '-c',
      script,
    ]);
    expect(first.stdout).toMatch(/ 33 +34 .*\/data\ntmpfs +1024 /);
    expect(first.stderr).toContain('touch: /host/x: Read-only file system');
    await text(
      'run',
      '-d',
      '-P',
      '--read-only',
      '-v',
      'kept:/data',
      '--name',
      'web',
      '-q',
      '-f',
      'vol.Dockerfile',
      './',
      'busybox',
      'httpd',
      '-f',
      '-h',
      '/data',
    );
    const port = (await list())[0]?.ports[0]?.hostPort;
    const get = async (path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${port}/${path}`)).text();
    expect(await get('f')).toBe('seed\n');
    expect(await get('more')).toBe('more\n');
    expect(await run(['run', '--rm', '-p', `${port}:1`, 'base'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('error[PORT_IN_USE]'),
    });
  });

  it.skipIf(reason)('nothing is left when a monitor is killed', async () => {
    await text('run', '-d', '--name', 'gone', 'base', 'sleep', '1000');
    await text('run', '-d', '--rm', '-u', 'app', 'base', 'sleep', '1000');
    const before = await list();
    for (const { monitorPid = 0 } of before) process.kill(monitorPid, 'SIGKILL');
    const isThere = ({ pid = 0 }: Shown): boolean => {
      const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ') Z';
      return !/\) [ZX]/.test(state);
    };
    await expect.poll(() => before.filter(isThere), { timeout: 20_000 }).toEqual([]);
    expect((await list()).find(({ name }) => name === 'gone')).toMatchObject({ status: 'stopped' });
    // The next that has the power to removes what --rm was to remove.
    await text('run', '--rm', '--network', 'none', 'base', 'true');
    expect((await list()).map(({ name }) => name)).toEqual(['gone']);
  });

  it.skipIf(reason ?? who !== 'root')(
    'a signal reaches the container when run is in the foreground',
    async () => {
      const child = actor.start(['run', '--rm', '--name', 'fore', 'base', 'sh', '-c', SERVICE]);
      const ended = endOf(child);
      await new Promise((done) => child.stdout?.once('data', done));
      child.kill('SIGINT');
      expect(await ended).toMatchObject({ code: 5, stdout: 'up\n' });
    },
  );

  it.skipIf(reason)(
    'a container has ended when its program has, though a reader who paused has not taken all',
    async () => {
      const child = actor.start([
        'run',
        '--network',
        'none',
        '--name',
        'much',
        'base',
        'yes',
        'x'.repeat(1000),
      ]);
      const logged = (): string => {
        const [id = ''] = readdirSync(join(actor.store, 'containers')).filter((name) => name !== 'names');
        const log = join(actor.store, 'containers', id, 'log');
        return id !== '' && existsSync(log) ? readFileSync(log, 'latin1') : '';
      };
      // More than is kept for a reader.
      await expect.poll(() => logged().length, { timeout: 30_000 }).toBeGreaterThan(4 * 1024 * 1024);
      expect(await text('stop', '-t', '0', 'much')).toBe('much\n');
      expect(await list()).toMatchObject([{ status: 'stopped', exitCode: 137 }]);
      const count = logged().split(' F ').length;
      await text('rm', 'much');
      expect(child.exitCode).toBe(null);
      const { code, stdout } = await endOf(child);
      expect(code).toBe(137);
      expect(stdout.split('\n').length).toBe(count);
    },
  );
});

describe.skipIf(process.getuid?.() !== 0)('terminals and runtimes', () => {
  const run = (...args: readonly string[]): Promise<Run> => endOf(shared.start(args));

  it('run joins the terminal when it is interactive, and Ctrl-C goes to what runs in it', async () => {
    const command = shared.command(['run', '--rm', '-it', '--network', 'none', 'base', 'sh']);
    const child = spawn('script', ['-qec', command.map((word) => `'${word}'`).join(' '), '/dev/null'], {
      env: { ...process.env, TERM: 'xterm' },
    });
    let seen = '';
    child.stdout.on('data', (data: Buffer) => {
      seen += data.toString();
    });
    const ended = new Promise((done) => child.on('close', done));
    await expect.poll(() => seen, { timeout: 10_000 }).toContain('# ');
    child.stdin.write('tty; echo $TERM$((1+1)); sleep 1000\n');
    await expect.poll(() => seen, { timeout: 10_000 }).toMatch(/\/dev\/pts\/0\r\nxterm2\r\n/);
    child.stdin.write('\x03');
    child.stdin.write('exit 9\n');
    expect(await ended).toBe(9);
  });

  it('run ends with its terminal, though what runs in it ignores that', async () => {
    const flags = ['--rm', '--stop-timeout', '1', '--network', 'none', '--name', 'shut', '-it'];
    const command = shared.command(['run', ...flags, 'base', 'sh']).map((word) => `'${word}'`);
    const child = spawn('script', ['-qec', `exec ${command.join(' ')}`, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm' },
    });
    await new Promise<void>((prompted) => {
      child.stdout.on('data', (data: Buffer) => {
        if (data.includes('# ')) prompted();
      });
    });
    child.kill('SIGKILL');
    await expect.poll(() => run('ps', '-aq').then(({ stdout }) => stdout), { timeout: 30_000 }).toBe('');
  });

  it('run gives a terminal of its own when it is detached or ours is none', async () => {
    const words = ['-t', '--network', 'none', 'base', 'sh', '-c', 'tty; echo $TERM; exit 4'];
    expect(await run('run', '--rm', ...words)).toEqual({
      code: 4,
      stdout: '/dev/pts/0\r\nxterm\r\n',
      stderr: '',
    });
    await run('run', '-d', '--name', 't', ...words);
    expect((await run('wait', 't')).stdout).toBe('4\n');
    expect((await run('logs', 't')).stdout).toBe('/dev/pts/0\r\nxterm\r\n');
  });

  it('stop and exec name the program that they need when this machine lacks it', async () => {
    const id = (await run('run', '-d', '--rm', '--network', 'none', 'base', 'sleep', '1000')).stdout.trim();
    const nsenter = execFileSync('which', ['nsenter'], { encoding: 'utf8' }).trim();
    const hide = 'mount --bind /dev/null "$1" && shift && exec "$@"';
    const without = (...args: readonly string[]): Promise<Run> =>
      endOf(spawn('unshare', ['-m', 'sh', '-c', hide, 'sh', nsenter, ...shared.command(args)]));
    for (const args of [
      ['stop', id],
      ['exec', id, 'true'],
    ]) {
      expect(await without(...args)).toEqual({
        code: 3,
        stdout: '',
        stderr: `error[NSENTER_NOT_FOUND]: Cannot enter the container: "nsenter" is not installed
hint: sudo apt-get install util-linux\n`,
      });
    }
    expect(await run('rm', '-f', id)).toMatchObject({ code: 0 });
  });

  it('run limits memory and processes when there are cgroups for that', async () => {
    const script =
      'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory.swap.max 2>/dev/null; cat /sys/fs/cgroup/cpuset/cpuset.cpus /sys/fs/cgroup/cpuset.cpus 2>/dev/null';
    const limits = [
      ...['--memory', '32m', '--pids-limit', '20', '--cap-drop', 'ALL', '--cap-add', 'kill'],
      ...['--memory-swap', '48m', '--cpuset-cpus', '0'],
    ];
    const { code, stdout, stderr } = await run(
      'run',
      '--rm',
      ...limits,
      'base',
      'sh',
      '-c',
      `${script}; grep CapEff /proc/self/status`,
    );
    if (code === 3) expect(stderr).toContain('error[LIMIT_UNAVAILABLE]');
    else expect(stdout).toMatch(/^33554432\n20\n(50331648|16777216)\n0\nCapEff:\t0000000000000020\n$/);
  });

  it('run and ps say that memory ran out when the kernel killed a container for it', async () => {
    const killed = await run('run', '--name', 'big', '-m', '16m', 'base', 'tail', '/dev/zero');
    if (killed.code === 3) return expect(killed.stderr).toContain('error[LIMIT_UNAVAILABLE]');
    expect(killed.code).toBe(137);
    expect(killed.stderr).toContain('warning: the container was killed, out of memory: its limit is 16 MiB');
    const script = 'tail /dev/zero; exit 3';
    const outlived = await run('run', '--rm', '-m', '16m', 'base', 'sh', '-c', script);
    expect(outlived.stderr).toContain('warning: a process of the container was killed, out of memory');
    expect(outlived.code).toBe(3);
    expect((await run('ps', '-a')).stdout).toContain('stopped (137, out of memory)');
    const shown = JSON.parse((await run('ps', '-a', '--format', 'json')).stdout) as { name: string }[];
    expect(shown.find(({ name }) => name === 'big')).toMatchObject({
      oomKilled: true,
      memoryLimit: { bytes: 16 * 1024 ** 2 },
    });
    await run('rm', 'big');
  });

  it('run sets what few containers ask for', async () => {
    const flags = [
      ...['--dns', '1.1.1.1', '--dns-search', 'a.b', '--dns-option', 'ndots:2', '--annotation', 'k=v'],
      ...[
        '--sysctl',
        'net.ipv4.ip_forward=1',
        '--security-opt',
        'no-new-privileges',
        '--oom-score-adj',
        '77',
      ],
      ...['--cidfile', 'id', '--network', 'none', '--name', 'few', '--no-healthcheck'],
    ];
    const script =
      'cat /etc/resolv.conf /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status';
    const { stdout } = await run('run', ...flags, 'base', 'sh', '-c', script);
    expect(stdout).toBe('nameserver 1.1.1.1\nsearch a.b\noptions ndots:2\n1\n77\nNoNewPrivs:\t1\n');
    const [shown] = JSON.parse((await run('ps', '-a', '--format', 'json')).stdout) as Record<
      string,
      unknown
    >[];
    expect(shown).toMatchObject({ labels: { k: 'v' } });
    const idFile = join(shared.dir, 'id');
    expect(readFileSync(idFile, 'utf8')).toBe(shown?.id);
    expect(await run('run', '--cidfile', 'id', 'base')).toMatchObject({ code: 2 });
    const nowhere = await run('run', '--cidfile', 'none/id', 'base');
    expect(nowhere.stderr).toContain('its directory does not exist');
    rmSync(idFile);
    await run('rm', 'few');
  });

  it('run gives a container the groups, devices, init and limits that it was asked for', async () => {
    writeFileSync(join(shared.dir, 'labels'), '# none\na=1\n');
    const flags = [
      ...['--group-add', '77', '--group-add', 'staff', '--device', '/dev/null:/dev/other', '--init'],
      ...['--domainname', 'example.org', '--label-file', 'labels', '--name', 'more', '-u', 'app'],
      ...['--cpu-shares', '512', '--cpu-period', '50000', '--cpu-quota', '25000', '--cpuset-mems', '0'],
      ...['--memory-reservation', '32m', '--expose', '80', '-P', '--add-host', 'box:host-gateway'],
    ];
    const script =
      'id -G; stat -c %t,%T /dev/other; cat /proc/sys/kernel/domainname /proc/1/comm; grep -c "[.].*box" /etc/hosts; cd /sys/fs/cgroup; cat cpu/cpu.shares cpu/cpu.cfs_quota_us memory/memory.soft_limit_in_bytes';
    const { stdout, stderr } = await run('run', ...flags, 'base', 'sh', '-c', script);
    if (stderr.includes('[LIMIT_UNAVAILABLE]') || stderr.includes('[NETWORK_UNAVAILABLE]')) return;
    expect(stdout).toMatch(/^1001 50 77\n1,3\nexample.org\n(docker-init|catatonit)\n1\n/);
    if (existsSync('/sys/fs/cgroup/memory')) expect(stdout).toMatch(/\n512\n25000\n33554432\n$/);
    const [shown] = JSON.parse((await run('ps', '-a', '--format', 'json')).stdout) as { labels: unknown }[];
    expect(shown).toMatchObject({ labels: { a: '1' }, ports: [{ containerPort: 80 }] });
    await run('rm', 'more');
    const seen = await run('run', '--rm', '--pid', 'host', 'base', 'cat', `/proc/${process.pid}/comm`);
    expect(seen.stdout).not.toBe('');
  });

  it.each(['crun', 'runsc'])(
    'run, exec and stop work with nothing else changed when the runtime is %s',
    async (runtime) => {
      const started = await run(
        '--runtime',
        runtime,
        'run',
        '-d',
        '--name',
        runtime,
        'base',
        'sh',
        '-c',
        SERVICE,
      );
      expect(started).toMatchObject({ code: 0 });
      expect(await run('exec', '-u', 'app', runtime, 'sh', '-c', 'id -u; exit 6')).toMatchObject({
        code: 6,
        stdout: '1000\n',
      });
      await run('stop', runtime);
      expect((await run('wait', runtime)).stdout).toBe('3\n');
      expect((await run('rm', runtime)).code).toBe(0);
      expect((await run('--runtime', runtime, 'run', '--rm', 'base', 'nothing')).code).toBe(127);
    },
  );
});
