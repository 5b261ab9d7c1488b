import { DEFAULT_PATH } from '../image/runtime-config.ts';
import type { SeccompProfile } from './seccomp.ts';
import type { ContainerLimits, ContainerSettings, ProcessSpec } from './types.ts';
import type { ResolvedUser } from './user.ts';

/** A mount of runtime-spec config.md §Mounts. */
export interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A device node that the runtime makes in /dev. */
export interface SpecDevice {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Facts of the machine that a config depends on. */
export interface SpecMachine {
  readonly rootless: boolean;
  /** Only the unified hierarchy is there: the container gets a cgroup namespace. */
  readonly cgroupV2: boolean;
  /** Absent: no cgroup of its own (rootless without delegation). */
  readonly cgroupsPath?: string;
  /** Its cgroup can limit swap. */
  readonly limitsSwap: boolean;
  /** Nothing keeps a container off a device node that it makes itself, so it may make none. */
  readonly noDeviceControl: boolean;
  /** Of the masked and read-only paths, those that this kernel has. */
  readonly hasPath: (path: string) => boolean;
  readonly seccomp?: SeccompProfile;
  /** All capabilities this process may give away, for `security: 'insecure'`. */
  readonly capabilities: readonly string[];
  /** The host's device nodes, for `security: 'insecure'`. */
  readonly devices: readonly SpecDevice[];
}

export interface SpecInput {
  readonly process: ProcessSpec;
  readonly user: ResolvedUser;
  /** `cwd` with its symlinks resolved in the root. */
  readonly cwd: string;
  /** Relative to the bundle. */
  readonly rootPath: string;
  /** hosts, resolv.conf and the step's own mounts, parents first. */
  readonly mounts: readonly SpecMount[];
  readonly machine: SpecMachine;
}

const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;
const UMASK = 0o022;
const CPU_PERIOD_US = 100_000;

const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];

const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The runtime-spec configuration (`config.json`) of one step or container: pure, the same input gives the same object. */
export function runtimeSpec(input: SpecInput): Record<string, unknown> {
  const { process, user, machine } = input;
  const { container } = process;
  const { extras = {} } = container ?? {};
  const insecure = process.security === 'insecure';
  const { nodes = [], hooks = {}, additionalGids: gids = [] } = process.devices ?? {};
  const additionalGids = [...new Set([...user.additionalGids, ...gids])];
  const devices = [
    ...(insecure ? machine.devices.filter(({ path }) => nodes.every((node) => node.path !== path)) : []),
    ...nodes.map(({ access: _, ...node }) => node),
  ];
  return {
    ociVersion: '1.0.2',
    root: { path: input.rootPath, readonly: container?.readonlyRoot ?? false },
    hostname: process.hostname,
    ...(container === undefined ? {} : { annotations: container.annotations }),
    process: {
      terminal: container?.terminal !== undefined,
      user: { uid: user.uid, gid: user.gid, additionalGids, umask: UMASK },
      args: process.args,
      env: environment(
        [...process.env, ...(process.devices?.env ?? []), ...(process.secretEnv ?? [])],
        user.home,
      ),
      cwd: input.cwd,
      capabilities: capabilities(user.uid, { insecure, machine, container }),
      ...(process.ulimits.length === 0 ? {} : { rlimits: rlimits(process.ulimits) }),
      noNewPrivileges: extras.noNewPrivileges ?? false,
      ...(extras.oomScoreAdj === undefined ? {} : { oomScoreAdj: extras.oomScoreAdj }),
    },
    mounts: allMounts(input),
    ...(Object.keys(hooks).length === 0 ? {} : { hooks }),
    linux: {
      namespaces: namespaces(process, machine),
      ...(extras.sysctls === undefined ? {} : { sysctl: extras.sysctls }),
      ...(machine.cgroupsPath === undefined ? {} : { cgroupsPath: machine.cgroupsPath }),
      ...(machine.cgroupsPath === undefined
        ? {}
        : {
            resources: {
              devices: [
                { allow: insecure, access: 'rwm' },
                ...nodes.map(({ type, major, minor, access }) => ({
                  allow: true,
                  type,
                  major,
                  minor,
                  access,
                })),
              ],
              ...limits(container?.limits ?? {}, machine),
            },
          }),
      ...(devices.length > 0 ? { devices } : {}),
      ...(insecure
        ? {}
        : {
            maskedPaths: MASKED_PATHS.filter(machine.hasPath),
            readonlyPaths: READONLY_PATHS.filter(machine.hasPath),
            ...(machine.seccomp === undefined || extras.seccompUnconfined === true
              ? {}
              : { seccomp: machine.seccomp }),
          }),
    },
  };
}

/** Environment in order, last value of a name wins, with PATH and HOME added where absent. */
function environment(env: readonly string[], home: string): string[] {
  const values = new Map<string, string>();
  for (const entry of env) {
    const cut = entry.indexOf('=');
    const name = cut < 0 ? entry : entry.slice(0, cut);
    if (name !== '') values.set(name, cut < 0 ? '' : entry.slice(cut + 1));
  }
  if (!values.has('PATH')) values.set('PATH', DEFAULT_PATH);
  if (!values.has('HOME')) values.set('HOME', home);
  return [...values].map(([name, value]) => `${name}=${value}`);
}

function capabilities(
  uid: number,
  about: {
    readonly insecure: boolean;
    readonly machine: SpecMachine;
    readonly container: ContainerSettings | undefined;
  },
): Record<string, readonly string[]> {
  const { insecure, machine, container } = about;
  const all = machine.capabilities;
  if (insecure) {
    return { bounding: all, effective: all, permitted: all, inheritable: all, ambient: all };
  }
  const usual = machine.noDeviceControl ? CAPABILITIES.filter((name) => name !== 'CAP_MKNOD') : CAPABILITIES;
  const bounding = container === undefined ? usual : changed(usual, container, all);
  // A user that is not root starts with none and may gain those of the bounding set by a setuid program.
  const own = uid === 0 ? bounding : [];
  return { bounding, effective: own, permitted: own, inheritable: [], ambient: [] };
}

/** `ALL` is the outer bound: named ones are added to "none", or taken from "all". */
function changed(
  usual: readonly string[],
  { addCapabilities: add, dropCapabilities: drop }: ContainerSettings,
  all: readonly string[],
): string[] {
  const start = add.includes('ALL') ? all : drop.includes('ALL') ? [] : usual;
  const added = [...new Set([...start, ...add.filter((name) => name !== 'ALL')])];
  return added.filter((name) => !drop.includes(name));
}

/** @see runtime-spec config-linux.md §Control groups */
function limits(asked: ContainerLimits, { limitsSwap }: SpecMachine): Record<string, unknown> {
  const { memoryBytes, memorySwapBytes, cpus, pids } = asked;
  // As in Docker: a limit that swap goes round would be none.
  const swap = memorySwapBytes ?? (limitsSwap && memoryBytes !== undefined ? 2 * memoryBytes : undefined);
  const memory = given({ limit: memoryBytes, reservation: asked.memoryReservationBytes, swap });
  const period = cpus === undefined ? asked.cpuPeriodUs : CPU_PERIOD_US;
  const quota = cpus === undefined ? asked.cpuQuotaUs : Math.round(cpus * CPU_PERIOD_US);
  const cpu = given({ shares: asked.cpuShares, quota, period, cpus: asked.cpuset, mems: asked.memoryNodes });
  return {
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
  };
}

function given(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function rlimits(ulimits: ProcessSpec['ulimits']): { type: string; soft: unknown; hard: unknown }[] {
  const byType = new Map(
    ulimits.map(({ name, soft, hard }) => {
      const type = `RLIMIT_${name.toUpperCase()}`;
      return [type, { type, soft: limitValue(soft), hard: limitValue(hard) }];
    }),
  );
  return [...byType.values()];
}

// `-1` is "unlimited" on a command line. The kernel's word for that, RLIM_INFINITY, is no number that JavaScript has.
function limitValue(value: number): unknown {
  return value < 0 || !Number.isSafeInteger(value) ? rawJson('18446744073709551615') : value;
}

/** JSON text that is written as it stands; missing in TypeScript's own types. */
function rawJson(text: string): unknown {
  return (JSON as typeof JSON & { rawJSON(text: string): unknown }).rawJSON(text);
}

function namespaces(process: ProcessSpec, machine: SpecMachine): { type: string; path?: string }[] {
  const path = process.container?.networkNamespace;
  return [
    ...(process.container?.extras?.hostPid === true ? [] : [{ type: 'pid' }]),
    ...['ipc', 'uts', 'mount'].map((type) => ({ type })),
    ...(hasOwnNetwork(process) ? [{ type: 'network', ...(path === undefined ? {} : { path }) }] : []),
    ...(machine.cgroupV2 ? [{ type: 'cgroup' }] : []),
  ];
}

/** True where the container has a network namespace that is not the host's. */
function hasOwnNetwork({ network, container }: ProcessSpec): boolean {
  return network === 'none' || container?.networkNamespace !== undefined;
}

/** Default mounts first, without those that the step mounts something else on. */
function allMounts({ process, mounts, machine }: SpecInput): SpecMount[] {
  const own = new Set(mounts.map((mount) => mount.destination));
  return [...defaultMounts(process, machine).filter((mount) => !own.has(mount.destination)), ...mounts];
}

function defaultMounts(process: ProcessSpec, machine: SpecMachine): SpecMount[] {
  const insecure = process.security === 'insecure';
  const access = insecure ? 'rw' : 'ro';
  const plain = ['nosuid', 'noexec', 'nodev'];
  const shm = process.shmSize ?? DEFAULT_SHM_BYTES;
  const mount = (destination: string, type: string, source: string, options: string[]): SpecMount => ({
    destination,
    type,
    source,
    options,
  });
  const pts = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'];
  return [
    mount('/proc', 'proc', 'proc', plain),
    mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', 'devpts', pts),
    mount('/dev/shm', 'tmpfs', 'shm', [...plain, 'mode=1777', `size=${shm}`]),
    mount('/dev/mqueue', 'mqueue', 'mqueue', plain),
    // sysfs belongs to the network namespace: a user namespace that does not own it may only bind the host's.
    machine.rootless && !hasOwnNetwork(process)
      ? mount('/sys', 'none', '/sys', ['rbind', ...plain, access])
      : mount('/sys', 'sysfs', 'sysfs', [...plain, access]),
    ...(machine.cgroupsPath === undefined
      ? []
      : [mount('/sys/fs/cgroup', 'cgroup', 'cgroup', [...plain, 'relatime', access])]),
  ];
}
