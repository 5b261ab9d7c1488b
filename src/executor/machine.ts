import { existsSync, lstatSync, readdirSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { type CgroupMode, cgroupMode, cgroupsPath, mountCgroupView } from './cgroup.ts';
import type { Runtime } from './runtime.ts';
import { defaultSeccomp, type SeccompProfile } from './seccomp.ts';
import type { SpecDevice, SpecMachine } from './spec.ts';

/** What is asked of the machine once, when the executor starts. */
export interface Machine {
  readonly rootless: boolean;
  readonly cgroups: CgroupMode;
  /** Text of /proc/self/cgroup. */
  readonly selfCgroup: string;
  readonly seccomp: SeccompProfile | undefined;
}

/** In the order of the kernel's numbers (capability.h). */
export const CAPABILITY_NAMES: readonly string[] = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
  SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
  MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

const FOLDERS_OF_OTHER_MOUNTS = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev']);

/** Reads the machine's facts; for crun on a hybrid host it first changes the calling thread's view of cgroups. */
export function inspectMachine(runtime: Runtime, rootless: boolean): Machine {
  const mode = cgroupMode(readFileSync('/proc/self/mountinfo', 'utf8'));
  return {
    rootless,
    cgroups: existsSync('/sys/fs/cgroup') ? usableMode(mode, runtime, rootless) : mode,
    selfCgroup: readFileSync('/proc/self/cgroup', 'utf8'),
    seccomp: existsSync('/proc/sys/kernel/seccomp/actions_avail') ? defaultSeccomp(process.arch) : undefined,
  };
}

function usableMode(mode: CgroupMode, runtime: Runtime, rootless: boolean): CgroupMode {
  if (runtime.flavour === 'crun') {
    // crun lifts a limit for its device filter on v2, which fails even as root where this capability was taken away:
    // inside an outer container, whose own device filter then holds for the steps as well.
    const capable = boundingCapabilities(readFileSync('/proc/self/status', 'utf8')).includes(
      'CAP_SYS_RESOURCE',
    );
    if (rootless || !capable) return mountCgroupView('empty');
    return mode === 'unified' ? mode : mountCgroupView('unified');
  }
  return mode === 'none' && !rootless ? mountCgroupView('unified') : mode;
}

/** The facts that one step's config needs; devices are read only for `insecure`, capabilities also for `--cap-add ALL`. */
export function specMachine(
  machine: Machine,
  id: string,
  { insecure, allCapabilities }: { readonly insecure: boolean; readonly allCapabilities: boolean },
): SpecMachine {
  // Without delegation a user namespace may not make cgroups; its steps stay in ours.
  const withCgroup = hasCgroups(machine);
  return {
    rootless: machine.rootless,
    cgroupV2: withCgroup && machine.cgroups === 'unified',
    ...(withCgroup ? { cgroupsPath: cgroupsPath(machine.cgroups, machine.selfCgroup, id) } : {}),
    limitsSwap: withCgroup && countsSwap(machine),
    // Without root the kernel itself refuses device nodes.
    noDeviceControl: !withCgroup && !machine.rootless,
    hasPath: existsSync,
    ...(machine.seccomp === undefined ? {} : { seccomp: machine.seccomp }),
    capabilities:
      insecure || allCapabilities ? boundingCapabilities(readFileSync('/proc/self/status', 'utf8')) : [],
    // A user namespace may not make device nodes, and its steps would fail on the first one.
    devices: insecure && !machine.rootless ? hostDevices('/dev') : [],
  };
}

/** A kernel may be told not to count swap; of v2's root no file says whether it does. */
function countsSwap({ cgroups, selfCgroup }: Machine): boolean {
  if (cgroups !== 'unified') return existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes');
  const own = /^0::(.*)$/m.exec(selfCgroup)?.[1] ?? '/';
  return existsSync(join('/sys/fs/cgroup', own, 'memory.swap.max'));
}

/** True where a step gets a cgroup of its own, and with it a filter for devices. */
export function hasCgroups(machine: Machine): boolean {
  return !machine.rootless && machine.cgroups !== 'none';
}

/** Names of the capabilities in the bounding set of a /proc/PID/status text. */
export function boundingCapabilities(status: string): string[] {
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return CAPABILITY_NAMES.filter((_, bit) => (mask >> BigInt(bit)) & 1n);
}

/** Type and numbers of a device node. @see makedev(3) */
export function deviceNumbers(stat: Stats): { type: 'b' | 'c'; major: number; minor: number } {
  const { rdev } = stat;
  return {
    type: stat.isBlockDevice() ? 'b' : 'c',
    major: (rdev >>> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
  };
}

function hostDevices(dir: string): SpecDevice[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry): SpecDevice[] => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return FOLDERS_OF_OTHER_MOUNTS.has(entry.name) ? [] : hostDevices(path);
    if (!(entry.isCharacterDevice() || entry.isBlockDevice()) || entry.name === 'console') return [];
    const stat = lstatSync(path);
    const { mode, uid, gid } = stat;
    return [
      {
        path,
        ...deviceNumbers(stat),
        fileMode: mode & 0o777,
        uid,
        gid,
      },
    ];
  });
}
