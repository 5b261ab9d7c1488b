import { describe, expect, it } from 'vitest';
import { defaultSeccomp } from '../../../src/executor/seccomp.ts';
import { runtimeSpec, type SpecInput, type SpecMachine, type SpecMount } from '../../../src/executor/spec.ts';
import type { ContainerSettings, ProcessSpec } from '../../../src/executor/types.ts';

interface Spec {
  process: {
    user: unknown;
    env: string[];
    capabilities: Record<string, string[]>;
    rlimits?: unknown;
    noNewPrivileges: boolean;
  };
  mounts: SpecMount[];
  linux: {
    namespaces: { type: string }[];
    maskedPaths?: string[];
    readonlyPaths?: string[];
    seccomp?: unknown;
    resources?: { devices: { allow: boolean }[]; memory?: unknown };
    cgroupsPath?: string;
  };
}

const MACHINE: SpecMachine = {
  rootless: false,
  cgroupV2: false,
  cgroupsPath: 'ocibuild/x',
  limitsSwap: true,
  noDeviceControl: false,
  hasPath: () => true,
  capabilities: ['CAP_CHOWN', 'CAP_SYS_ADMIN'],
  devices: [],
};

function make(
  process: Partial<ProcessSpec> = {},
  machine: Partial<SpecMachine> = {},
  input: Partial<SpecInput> = {},
): Spec {
  return runtimeSpec({
    process: {
      id: 'x',
      rootfs: { lower: [], upper: '/u', work: '/w' },
      args: ['true'],
      env: [],
      cwd: '/',
      user: '',
      network: 'default',
      security: 'sandbox',
      mounts: [],
      hostname: 'box',
      extraHosts: [],
      ulimits: [],
      ...process,
    },
    user: { uid: 0, gid: 0, additionalGids: [0], home: '/root' },
    cwd: '/',
    rootPath: 'rootfs',
    mounts: [],
    machine: { ...MACHINE, ...machine },
    ...input,
  }) as unknown as Spec;
}

const types = (spec: Spec) => spec.linux.namespaces.map((item) => item.type);
const at = (spec: Spec, destination: string) =>
  spec.mounts.filter((mount) => mount.destination === destination);

describe('runtimeSpec', () => {
  it('runtimeSpec() keeps the order and the last value when variables repeat', () => {
    expect(make({ env: ['B=1', 'A=2', 'B=3=4', '=x', 'FLAG'] }).process.env).toEqual([
      'B=3=4',
      'A=2',
      'FLAG=',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOME=/root',
    ]);
  });

  it('runtimeSpec() takes effective capabilities away when the user is not root', () => {
    const user = { uid: 1, gid: 1, additionalGids: [1], home: '/' };
    const { capabilities, noNewPrivileges } = make({}, {}, { user }).process;
    expect(capabilities.bounding).toHaveLength(14);
    expect([
      capabilities.effective,
      capabilities.permitted,
      capabilities.inheritable,
      capabilities.ambient,
    ]).toEqual([[], [], [], []]);
    expect(noNewPrivileges).toBe(false);
    expect(make().process.capabilities.effective).toHaveLength(14);
  });

  it('runtimeSpec() takes CAP_MKNOD away when no filter guards devices', () => {
    expect(make({}, { noDeviceControl: true }).process.capabilities.bounding).not.toContain('CAP_MKNOD');
    expect(make().process.capabilities.bounding).toContain('CAP_MKNOD');
  });

  it('runtimeSpec() adds namespaces when the network is none or cgroups are unified', () => {
    expect(types(make())).toEqual(['pid', 'ipc', 'uts', 'mount']);
    expect(types(make({ network: 'none' }, { cgroupV2: true }))).toEqual([
      'pid',
      'ipc',
      'uts',
      'mount',
      'network',
      'cgroup',
    ]);
  });

  it('runtimeSpec() lifts masks, filter and read-only mounts when the step is insecure', () => {
    const seccomp = defaultSeccomp('x64');
    const machine = seccomp === undefined ? {} : { seccomp };
    const insecure = make({ security: 'insecure' }, machine);
    expect(insecure.linux).not.toHaveProperty('maskedPaths');
    expect(insecure.linux).not.toHaveProperty('readonlyPaths');
    expect(insecure.linux).not.toHaveProperty('seccomp');
    expect(insecure.linux.resources?.devices).toEqual([{ allow: true, access: 'rwm' }]);
    expect(insecure.process.capabilities.ambient).toEqual(MACHINE.capabilities);
    expect(at(insecure, '/sys')[0]?.options).toContain('rw');
    const sandbox = make({}, machine);
    expect(sandbox.linux.maskedPaths).toHaveLength(11);
    expect(sandbox.linux.readonlyPaths).toHaveLength(5);
    expect(sandbox.linux.seccomp).toBe(seccomp);
    expect(sandbox.linux.resources?.devices).toEqual([{ allow: false, access: 'rwm' }]);
    expect(at(sandbox, '/sys/fs/cgroup')[0]?.options).toContain('ro');
  });

  it('runtimeSpec() masks only paths that are there when the kernel lacks some', () => {
    const spec = make({}, { hasPath: (path) => path === '/proc/kcore' || path === '/proc/sys' });
    expect(spec.linux).toMatchObject({ maskedPaths: ['/proc/kcore'], readonlyPaths: ['/proc/sys'] });
  });

  it('runtimeSpec() binds /sys and asks for no cgroup when it is rootless on the host network', () => {
    const { cgroupsPath: _, ...rest } = MACHINE;
    const rootless = (network: ProcessSpec['network']) =>
      runtimeSpec({
        process: {
          ...({
            env: [],
            ulimits: [],
            args: ['a'],
            hostname: 'h',
            security: 'sandbox',
          } as unknown as ProcessSpec),
          network,
        },
        user: { uid: 0, gid: 0, additionalGids: [0], home: '/' },
        cwd: '/',
        rootPath: 'rootfs',
        mounts: [],
        machine: { ...rest, rootless: true },
      }) as unknown as Spec;
    expect(at(rootless('default'), '/sys')[0]).toMatchObject({ type: 'none', source: '/sys' });
    expect(at(rootless('none'), '/sys')[0]).toMatchObject({ type: 'sysfs' });
    expect(rootless('default').linux).not.toHaveProperty('resources');
    expect(at(rootless('default'), '/sys/fs/cgroup')).toEqual([]);
  });

  it('runtimeSpec() drops its own mount when the step mounts on the same place', () => {
    const own = { destination: '/dev/shm', type: 'bind', source: '/x', options: ['rbind'] };
    expect(at(make({}, {}, { mounts: [own] }), '/dev/shm')).toEqual([own]);
    expect(at(make({ shmSize: 4096 }), '/dev/shm')[0]?.options).toContain('size=4096');
  });

  it('runtimeSpec() gives each limit once when ulimits repeat', () => {
    const ulimits = [
      { name: 'nofile', soft: 1, hard: 2 },
      { name: 'core', soft: -1, hard: -1 },
      { name: 'nofile', soft: 3, hard: 4 },
    ];
    const infinity = '18446744073709551615';
    expect(JSON.stringify(make({ ulimits }).process.rlimits)).toBe(
      `[{"type":"RLIMIT_NOFILE","soft":3,"hard":4},{"type":"RLIMIT_CORE","soft":${infinity},"hard":${infinity}}]`,
    );
    expect(make().process).not.toHaveProperty('rlimits');
  });
});

describe('defaultSeccomp', () => {
  it('defaultSeccomp() refuses by default and tells libc that clone3 is missing', () => {
    const profile = defaultSeccomp('x64');
    expect(profile).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 1 });
    expect(profile?.syscalls.find((rule) => rule.names.includes('clone3'))).toMatchObject({
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 38,
    });
  });
  it('defaultSeccomp() allows no call that reaches beyond a container', () => {
    const open = defaultSeccomp('x64')?.syscalls.filter(
      (rule) => rule.args === undefined && rule.action === 'SCMP_ACT_ALLOW',
    );
    const names = new Set(open?.flatMap((rule) => rule.names));
    for (const name of [
      'mount',
      'umount2',
      'unshare',
      'setns',
      'bpf',
      'kexec_load',
      'init_module',
      'keyctl',
      'add_key',
      'reboot',
      'swapon',
      'pivot_root',
      'open_by_handle_at',
      'perf_event_open',
      'userfaultfd',
      'clone',
      'socket',
      'personality',
      'io_uring_setup',
      'settimeofday',
      'iopl',
      'quotactl',
      'move_mount',
      'fsopen',
      'syslog',
      'acct',
    ]) {
      expect([name, names.has(name)]).toEqual([name, false]);
    }
    for (const name of ['execve', 'openat2', 'chroot', 'ptrace', 'statx', 'rseq', 'arch_prctl'])
      expect(names).toContain(name);
  });
  it.each(['x64', 'arm64', 'riscv64', 's390x', 'ppc64'])(
    'defaultSeccomp() names each call once when the machine is %s',
    (arch) => {
      const names =
        defaultSeccomp(arch)
          ?.syscalls.filter((rule) => rule.args === undefined)
          .flatMap((rule) => rule.names) ?? [];
      expect(names.length).toBeGreaterThan(300);
      expect(new Set(names).size).toBe(names.length);
    },
  );
  it('defaultSeccomp() gives nothing when the machine is not known', () => {
    expect(defaultSeccomp('vax')).toBeUndefined();
  });

  describe('of a container', () => {
    const SETTINGS: ContainerSettings = {
      stdin: 'none',
      readonlyRoot: false,
      annotations: {},
      addCapabilities: [],
      dropCapabilities: [],
      limits: {},
    };
    const container = (settings: Partial<ContainerSettings>, machine: Partial<SpecMachine> = {}): Spec =>
      make({ container: { ...SETTINGS, ...settings } }, machine);

    it('runtimeSpec() carries terminal, annotations, limits and a read-only root when they are asked for', () => {
      const limits = { memoryBytes: 1024, cpus: 0.5, pids: 7 };
      expect(
        container({ terminal: 'own', readonlyRoot: true, annotations: { a: 'b' }, limits }),
      ).toMatchObject({
        root: { readonly: true },
        annotations: { a: 'b' },
        process: { terminal: true },
        linux: {
          resources: { memory: { limit: 1024 }, cpu: { quota: 50_000, period: 100_000 }, pids: { limit: 7 } },
        },
      });
    });

    it('runtimeSpec() limits swap to as much as the memory where the kernel counts it', () => {
      const memoryOf = (limits: ContainerSettings['limits'], limitsSwap: boolean): unknown =>
        container({ limits }, { limitsSwap }).linux.resources?.memory;
      expect(memoryOf({ memoryBytes: 1024 }, true)).toEqual({ limit: 1024, swap: 2048 });
      expect(memoryOf({ memoryBytes: 1024 }, false)).toEqual({ limit: 1024 });
      expect(memoryOf({ memoryBytes: 1024, memorySwapBytes: -1 }, true)).toEqual({ limit: 1024, swap: -1 });
      expect(memoryOf({ pids: 1 }, true)).toBeUndefined();
    });

    it('runtimeSpec() has what few containers ask for', () => {
      const extras = {
        sysctls: { 'a.b': '1' },
        oomScoreAdj: 5,
        noNewPrivileges: true,
        seccompUnconfined: true,
      };
      const seccomp = {} as NonNullable<SpecMachine['seccomp']>;
      expect(container({ extras, limits: { cpuset: '0-1' } }, { seccomp })).toMatchObject({
        process: { noNewPrivileges: true, oomScoreAdj: 5 },
        linux: { sysctl: { 'a.b': '1' }, resources: { cpu: { cpus: '0-1' } } },
      });
      expect(container({ extras }, { seccomp }).linux).not.toHaveProperty('seccomp');
      expect(container({}, { seccomp }).linux).toHaveProperty('seccomp');
    });

    it.each([
      ['one is added', { addCapabilities: ['CAP_SYS_ADMIN'] }, ['CAP_CHOWN', 'CAP_SYS_ADMIN'], []],
      ['one is dropped', { dropCapabilities: ['CAP_CHOWN'] }, [], ['CAP_CHOWN', 'CAP_SYS_ADMIN']],
      [
        'all are added but one',
        { addCapabilities: ['ALL'], dropCapabilities: ['CAP_CHOWN'] },
        ['CAP_SYS_ADMIN'],
        ['CAP_CHOWN', 'CAP_KILL'],
      ],
      [
        'all are dropped but one',
        { addCapabilities: ['CAP_KILL'], dropCapabilities: ['ALL'] },
        ['CAP_KILL'],
        ['CAP_CHOWN'],
      ],
    ])('runtimeSpec() has the capabilities that are left when %s', (_, settings, present, absent) => {
      const { bounding = [], effective } = container(settings).process.capabilities;
      expect(effective).toEqual(bounding);
      expect(bounding).toEqual(expect.arrayContaining([...present]));
      for (const name of absent) expect(bounding).not.toContain(name);
    });

    it('runtimeSpec() joins a network namespace when there is one, and may then mount sysfs of it without root', () => {
      const spec = container({ networkNamespace: '/proc/1/ns/net' }, { rootless: true });
      expect(spec.linux.namespaces).toContainEqual({ type: 'network', path: '/proc/1/ns/net' });
      expect(at(spec, '/sys')).toMatchObject([{ type: 'sysfs' }]);
    });
  });
});
