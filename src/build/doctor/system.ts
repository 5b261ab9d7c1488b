import { existsSync } from 'node:fs';
import { arch, release } from 'node:os';
import { cgroupMode } from '../../executor/cgroup.ts';
import { findProgram } from '../../executor/find-program.ts';
import { readText } from '../../util/read-text.ts';
import { capture } from './capture.ts';
import type { Finding, Machine, PackageNames } from './types.ts';

const MIN_NODE_MAJOR = 24;
/** Overlays in a user namespace came with this one. */
const MIN_KERNEL = [5, 11] as const;
/** A large repository has this many directories and files below what a build reads. */
const ENOUGH_WATCHES = 65_536;
const ENOUGH_INSTANCES = 64;

export function probeNode(): Finding {
  const { node } = process.versions;
  const isEnough = Number.parseInt(node, 10) >= MIN_NODE_MAJOR;
  return {
    id: 'node',
    status: isEnough ? 'ok' : 'fail',
    message: `Node ${node}${isEnough ? '' : `: ${MIN_NODE_MAJOR} or later is needed`}`,
    ...(isEnough ? {} : { fix: 'npm install --global node@lts' }),
  };
}

export function probeKernel({ isRoot }: Machine, version: string = release()): Finding {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  const isOld = major < MIN_KERNEL[0] || (major === MIN_KERNEL[0] && minor < MIN_KERNEL[1]);
  if (!isOld) return { id: 'kernel', status: 'ok', message: `Linux ${version} on ${arch()}` };
  return {
    id: 'kernel',
    status: isRoot ? 'warn' : 'fail',
    message: `Linux ${version}: normal users cannot run steps before ${MIN_KERNEL.join('.')}, which lets them mount overlays`,
    fix: isRoot
      ? 'only root can build with RUN here; a newer kernel lets others'
      : 'build as root, or boot a newer kernel',
  };
}

export function probeSeccomp(): Finding {
  const path = '/proc/sys/kernel/seccomp/actions_avail';
  return existsSync(path)
    ? { id: 'seccomp', status: 'ok', message: 'system calls of steps are filtered' }
    : {
        id: 'seccomp',
        status: 'warn',
        message: 'this kernel has no seccomp: steps can make every system call',
        fix: 'a kernel with CONFIG_SECCOMP_FILTER',
      };
}

export function probeCgroups({ isRoot }: Machine): Finding {
  const mode = cgroupMode(readText('/proc/self/mountinfo') ?? '');
  const isHybrid = mode === 'legacy' && existsSync('/sys/fs/cgroup/unified');
  const name =
    mode === 'unified' ? 'v2' : isHybrid ? 'v1 with v2 beside it' : mode === 'none' ? 'none' : 'v1';
  if (!isRoot) {
    const own = /^0::(.*)$/m.exec(readText('/proc/self/cgroup') ?? '')?.[1];
    const file = own === undefined ? undefined : `/sys/fs/cgroup${own}/cgroup.controllers`;
    const delegated = (file === undefined ? '' : (readText(file) ?? '')).trim();
    return {
      id: 'cgroups',
      status: 'ok',
      message: `${name}${delegated === '' ? '' : ` (${delegated})`}: steps of a normal user stay in your own cgroup`,
    };
  }
  if (mode !== 'none')
    return { id: 'cgroups', status: 'ok', message: `${name}: each step has a cgroup of its own` };
  return {
    id: 'cgroups',
    status: 'warn',
    message: 'none are mounted: `run --memory`, `--cpus` and `--pids-limit` have no effect',
    fix: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup',
  };
}

export function probeInotify({ asRoot }: Machine): Finding {
  const limit = (name: string): number => Number(readText(`/proc/sys/fs/inotify/${name}`) ?? 0);
  const [watches, instances] = [limit('max_user_watches'), limit('max_user_instances')];
  const message = `${watches.toLocaleString('en')} watches and ${instances} instances for --watch`;
  if (watches >= ENOUGH_WATCHES && instances >= ENOUGH_INSTANCES)
    return { id: 'inotify', status: 'ok', message };
  const fix = asRoot('sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512');
  return { id: 'inotify', status: 'warn', message: `${message}: few for a large context`, fix };
}

interface Program {
  readonly id: string;
  readonly args: readonly string[];
  readonly meaning: string;
  readonly packages: PackageNames;
}

const PROGRAMS: readonly Program[] = [
  {
    id: 'nsenter',
    args: ['--version'],
    meaning: 'stop, kill and exec of containers need it',
    packages: { apt: 'util-linux', dnf: 'util-linux-core', apk: 'util-linux-misc' },
  },
  {
    id: 'git',
    args: ['--version'],
    meaning: 'git contexts and ADD of repositories need it',
    packages: { apt: 'git' },
  },
  {
    id: 'ssh',
    args: ['-V'],
    meaning: 'git over ssh needs it; RUN --mount=type=ssh does not',
    packages: { apt: 'openssh-client', dnf: 'openssh-clients', apk: 'openssh-client-default' },
  },
];

/** Programs of the machine that only some builds start. */
export function probePrograms(machine: Machine): Promise<Finding[]> {
  return Promise.all(
    PROGRAMS.map(async ({ id, args, meaning, packages }): Promise<Finding> => {
      const path = findProgram(id, machine.searchPath);
      if (path === undefined)
        return { id, status: 'warn', message: `not installed: ${meaning}`, fix: machine.install(packages) };
      const { stdout, stderr } = await capture(path, args, machine);
      const version = (stdout || stderr).split('\n')[0]?.trim();
      return { id, status: 'ok', message: `${version || id} (${path})` };
    }),
  );
}
