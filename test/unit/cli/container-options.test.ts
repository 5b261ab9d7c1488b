import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunRequest } from '../../../src/build/containers/types.ts';
import { readRunRequest } from '../../../src/cli/containers/container-options.ts';
import { parseMount, parseTmpfs, parseVolume } from '../../../src/cli/containers/mount-flags.ts';
import { RUN_FLAGS } from '../../../src/cli/flags/container-flags.ts';
import { parseArgs } from '../../../src/cli/flags/parse-args.ts';

const read = (args: readonly string[], where = { env: { KEPT: 'k' }, cwd: '/cwd' }): RunRequest => {
  const parsed = parseArgs(args, RUN_FLAGS, 1);
  return readRunRequest(parsed, parsed.positional.slice(1), where);
};
const usage = expect.objectContaining({ code: 'USAGE_INVALID' });

describe('readRunRequest()', () => {
  it('readRunRequest() fills every field when every flag is given', () => {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-env-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    writeFileSync(join(dir, 'vars'), '# comment\n\nF=1 2\r\nKEPT\nNOT_THERE\n');
    const flags = [
      ...['--rm', '-it', '--name', 'web', '-e', 'A=b=c', '-eKEPT', '-e', 'NOT_THERE', '--env-file', 'vars'],
      ...['-v', './h:/h:ro', '--mount', 'type=tmpfs,dst=/t', '--tmpfs', '/u', '-p', '8000:80', '-P'],
      ...['--network', 'pasta', '--add-host', 'a:1.2.3.4', '-h', 'box', '-w', '/w', '-u', '1:2'],
      ...[
        '--entrypoint',
        'sh',
        '-l',
        'k=v',
        '-l',
        'bare',
        '--read-only',
        '--privileged',
        '--cap-add',
        'net_admin',
      ],
      ...['--cap-drop', 'ALL', '-m', '1g', '--cpus', '1.5', '--pids-limit', '9', '--ulimit', 'nofile=1:2'],
      ...['--shm-size', '1k', '--stop-signal', 'INT', '--stop-timeout', '3'],
    ];
    expect(read([...flags, 'image', 'ls', '-l', '--rm=x', '--'], { env: { KEPT: 'k' }, cwd: dir })).toEqual({
      args: ['ls', '-l', '--rm=x', '--'],
      entrypoint: ['sh'],
      env: ['F=1 2', 'KEPT=k', 'A=b=c', 'KEPT=k'],
      cwd: '/w',
      user: '1:2',
      name: 'web',
      hostname: 'box',
      mounts: [
        { type: 'bind', source: join(dir, 'h'), target: '/h', readonly: true, create: true },
        { type: 'tmpfs', target: '/t', readonly: false, options: ['nodev'] },
        { type: 'tmpfs', target: '/u', readonly: false, options: ['nodev', 'noexec'] },
      ],
      ports: [{ hostPort: 8000, containerPort: 80, protocol: 'tcp' }],
      publishAll: true,
      network: 'pasta',
      extraHosts: ['a:1.2.3.4'],
      readonlyRoot: true,
      privileged: true,
      addCapabilities: ['CAP_NET_ADMIN'],
      dropCapabilities: ['ALL'],
      limits: { memoryBytes: 2 ** 30, cpus: 1.5, pids: 9 },
      ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
      shmSize: 1024,
      labels: { k: 'v', bare: '' },
      stopSignal: 'INT',
      stopTimeoutSec: 3,
      remove: true,
      interactive: true,
      tty: true,
    } satisfies RunRequest);
  });

  it.each([
    ['--name', 'a/b'],
    ['-e', '=x'],
    ['-w', 'relative'],
    ['--network', 'bridg'],
    ['--cpus', 'many'],
    ['--stop-timeout', '-1'],
    ['--env-file', '/nothing/there'],
    ['-p', 'x'],
  ])('readRunRequest() refuses when %s is %s', (flag, value) => {
    expect(() => read([flag, value, 'image'])).toThrow(usage);
  });

  it.each(['--restart=always', '--link=x', '--sig-proxy=false', '--blkio-weight=10', '-a=stdout'])(
    'readRunRequest() says why when %s is given',
    (flag) => {
      expect(() => read([flag, 'image'])).toThrow(expect.objectContaining({ code: 'USAGE_UNSUPPORTED' }));
    },
  );

  it('readRunRequest() reads what few containers ask for', () => {
    const request = read([
      ...['-m', '1m', '--memory-swap', '-1', '--cpuset-cpus', '0-2,4', '--oom-score-adj', '-5'],
      ...['--security-opt', 'no-new-privileges', '--security-opt=seccomp=unconfined', '--sysctl', 'a.b=1=2'],
      ...[
        '--dns',
        '1.1.1.1',
        '--dns',
        '::1',
        '--dns-search',
        'a.b',
        '--dns-search',
        'c',
        '--annotation',
        'k=v',
        'bb',
      ],
    ]);
    expect(request.limits).toEqual({ memoryBytes: 1 << 20, memorySwapBytes: -1, cpuset: '0-2,4' });
    expect(request.extras).toEqual({
      ...{ oomScoreAdj: -5, noNewPrivileges: true, seccompUnconfined: true },
      sysctls: { 'a.b': '1=2' },
    });
    expect(request.dns).toEqual(['nameserver 1.1.1.1', 'nameserver ::1', 'search a.b c']);
    expect(request.labels).toEqual({ k: 'v' });
  });

  it.each([
    [['-m', '2m', '--memory-swap', '1m']],
    [['--cpuset-cpus', 'all']],
    [['--cpuset-mems', 'x']],
    [['--cpu-shares', '1.5']],
    [['--cpus', '1', '--cpu-quota', '5000']],
    [['-m', '1m', '--memory-reservation', '2m']],
    [['--expose', '0']],
    [['--expose', '90-80']],
    [['--device', 'dev/fuse']],
    [['--device', '/dev/fuse:/x:q']],
    [['--pid', 'container:x']],
    [['--label-file', '/nowhere']],
    [['--oom-score-adj', '1001']],
    [['--security-opt', 'systempaths=unconfined']],
    [['--sysctl', 'a.b']],
    [['--dns', 'localhost']],
  ])('readRunRequest() refuses %j', (flags) => {
    expect(() => read([...flags, 'bb'])).toThrow(usage);
  });

  it('readRunRequest() knows devices, ports to expose, groups and weights', () => {
    const request = read([
      ...[
        '--device',
        '/dev/a',
        '--device',
        '/dev/a:/dev/b',
        '--device',
        '/dev/a:r',
        '--device',
        '/dev/a:/dev/c:rw',
      ],
      ...['--device', 'vendor.com/gpu=all', '--expose', '80', '--expose', '90-91/udp', '--group-add', 'g'],
      ...['--pid', 'host', '--domainname', 'd', '-c', '512', '--cpu-period', '1000', '--cpu-quota', '500'],
      ...[
        '--cpuset-mems',
        '0',
        '-m',
        '2m',
        '--memory-reservation',
        '1m',
        '--add-host',
        'h:host-gateway',
        'bb',
      ],
    ]);
    expect(request.devices).toEqual([
      { source: '/dev/a', target: '/dev/a', access: 'rwm' },
      { source: '/dev/a', target: '/dev/b', access: 'rwm' },
      { source: '/dev/a', target: '/dev/a', access: 'r' },
      { source: '/dev/a', target: '/dev/c', access: 'rw' },
      { source: 'vendor.com/gpu=all', target: 'vendor.com/gpu=all', access: 'rwm' },
    ]);
    expect(request.expose).toEqual(['80/tcp', '90/udp', '91/udp']);
    expect(request.extraHosts).toEqual(['h:host-gateway']);
    expect(request.extras).toEqual({ groups: ['g'], hostPid: true, sysctls: { 'kernel.domainname': 'd' } });
    expect(request.limits).toEqual({
      ...{ memoryBytes: 2 << 20, memoryReservationBytes: 1 << 20, memoryNodes: '0' },
      ...{ cpuShares: 512, cpuPeriodUs: 1000, cpuQuotaUs: 500 },
    });
  });

  it('readRunRequest() sets no limit when its value means none', () => {
    expect(read(['-m', '0', '--pids-limit', '-1', 'image']).limits).toEqual({});
  });
});

describe('docs/run.md', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/run.md'), 'utf8');

  it.each(RUN_FLAGS.map(({ name }) => name).filter((name) => name !== 'net'))('tells of --%s', (name) => {
    expect(text).toMatch(new RegExp(`--${name}\\b`));
  });
});

describe('mounts', () => {
  it.each([
    ['/c', { type: 'volume', target: '/c', readonly: false }],
    ['name:/c', { type: 'volume', name: 'name', target: '/c', readonly: false }],
    ['name:/c:ro,z', { type: 'volume', name: 'name', target: '/c', readonly: true }],
    ['/h:/c/../d/', { type: 'bind', source: '/h', target: '/d', readonly: false, create: true }],
    ['.:/c', { type: 'bind', source: '/cwd', target: '/c', readonly: false, create: true }],
    ['a/b:/c:rw', { type: 'bind', source: '/cwd/a/b', target: '/c', readonly: false, create: true }],
  ])('parseVolume() gives the mount when the text is %s', (text, mount) => {
    expect(parseVolume(text, '/cwd')).toEqual(mount);
  });

  it.each(['', ':/c', 'a:b', 'a:/', '/h:/c:rw:x', '/h:/c:what', '~x:/c'])(
    'parseVolume() refuses when the text is "%s"',
    (text) => {
      expect(() => parseVolume(text, '/cwd')).toThrow(usage);
    },
  );

  it.each([
    [
      'type=bind,src=h,dst=/c,ro',
      { type: 'bind', source: '/cwd/h', target: '/c', readonly: true, create: false },
    ],
    ['target=/c', { type: 'volume', target: '/c', readonly: false }],
    ['target=/c,ro=False', { type: 'volume', target: '/c', readonly: false }],
    ['source=v,destination=/c,readonly=false', { type: 'volume', name: 'v', target: '/c', readonly: false }],
    [
      'type=tmpfs,dst=/c,tmpfs-size=1m,tmpfs-mode=700',
      { type: 'tmpfs', target: '/c', readonly: false, options: ['nodev', 'size=1m', 'mode=700'] },
    ],
  ])('parseMount() gives the mount when the text is %s', (text, mount) => {
    expect(parseMount(text, '/cwd')).toEqual(mount);
  });

  it.each([
    'type=bind,dst=/c',
    'type=nfs,dst=/c',
    'type=tmpfs,src=/h,dst=/c',
    'src=/h',
    'dst=/c,what=1',
    'dst=/c,ro=no',
  ])('parseMount() refuses when the text is %s', (text) => {
    expect(() => parseMount(text, '/cwd')).toThrow(usage);
  });

  it('parseTmpfs() hands the options on when there are some', () => {
    expect(parseTmpfs('/t:ro,size=1m,exec')).toEqual({
      ...{ type: 'tmpfs', target: '/t', readonly: true },
      options: ['nodev', 'noexec', 'size=1m', 'exec'],
    });
  });
});
