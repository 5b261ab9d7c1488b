import { readdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SYS, sys } from '../layer/sys.ts';
import { readText } from '../util/read-text.ts';

/** Where every hierarchy is mounted, v2 on it or v1 below it. */
export const CGROUP_MOUNT = '/sys/fs/cgroup';
/** The folder in each hierarchy under which every step has a cgroup named by its id. */
const FOLDER = 'ocibuild';

/** How this machine's cgroups are mounted. */
export type CgroupMode = 'unified' | 'legacy' | 'none';

export interface CgroupEntry {
  readonly hierarchy: string;
  readonly controllers: readonly string[];
  readonly path: string;
}

/** The mode that a mountinfo text tells (proc_pid_mountinfo(5)). */
export function cgroupMode(mountinfo: string): CgroupMode {
  const mounts = mountinfo.split('\n').map((line) => {
    const [left = '', right = ''] = line.split(' - ');
    return { target: left.split(' ')[4], type: right.split(' ')[0] };
  });
  // The last mount on the folder is the one that is seen.
  const top = mounts.findLast((mount) => mount.target === CGROUP_MOUNT);
  if (top?.type === 'cgroup2') return 'unified';
  return mounts.some((mount) => mount.type === 'cgroup') ? 'legacy' : 'none';
}

/** Rows of /proc/self/cgroup. */
export function parseSelfCgroup(text: string): CgroupEntry[] {
  return text
    .split('\n')
    .map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, hierarchy = '', controllers = '', path = '']) => ({
      hierarchy,
      controllers: controllers.split(',').filter((name) => name !== ''),
      path,
    }));
}

/**
 * `linux.cgroupsPath` of a step. On v2 a sibling of our own cgroup, because a cgroup with processes may not hand
 * controllers to children; on v1 a path below our own one in each hierarchy, so that limits set on us hold.
 */
export function cgroupsPath(mode: CgroupMode, selfCgroup: string, id: string): string {
  if (mode !== 'unified') return `${FOLDER}/${id}`;
  const own = parseSelfCgroup(selfCgroup).find((entry) => entry.hierarchy === '0')?.path ?? '/';
  return join(dirname(own), FOLDER, id);
}

/** Existing cgroup directories of a step, deepest first, in whatever hierarchies are mounted. */
export function cgroupDirs(id: string): string[] {
  const self = parseSelfCgroup(readText('/proc/self/cgroup') ?? '');
  const candidates = self.flatMap((entry) => {
    const name = entry.controllers.join(',').replace(/^name=/, '');
    const bases =
      entry.hierarchy === '0' ? [CGROUP_MOUNT, join(CGROUP_MOUNT, 'unified')] : [join(CGROUP_MOUNT, name)];
    return bases.flatMap((base) => [
      join(base, entry.path, FOLDER, id),
      join(base, dirname(entry.path), FOLDER, id),
    ]);
  });
  return [...new Set(candidates)].flatMap((dir) => [...subDirs(dir)].reverse());
}

/** Sends SIGKILL to every process in the directories; true when there was one. */
export function killCgroups(dirs: readonly string[]): boolean {
  const pids = dirs.flatMap((dir) => readText(join(dir, 'cgroup.procs'))?.split('\n').filter(Boolean) ?? []);
  for (const pid of pids) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It died between the two calls.
    }
  }
  return pids.length > 0;
}

/** Removes empty cgroup directories; those with processes stay. */
export function removeCgroups(dirs: readonly string[]): void {
  for (const dir of dirs) {
    try {
      rmdirSync(dir);
    } catch {
      // Gone already, or its processes are not reaped yet; the next sweep sees it again.
    }
  }
}

/**
 * Changes what the calling thread's mount namespace shows as cgroups, for a runtime that refuses hybrid hosts: the
 * unified hierarchy, or nothing. Gives the mode that holds afterwards.
 */
export function mountCgroupView(view: 'unified' | 'empty'): CgroupMode {
  if (view === 'empty') {
    sys().mount({ source: 'tmpfs', target: CGROUP_MOUNT, type: 'tmpfs', data: 'mode=755,size=64k' });
    return 'none';
  }
  const flags = SYS.MS_NOSUID | SYS.MS_NODEV | SYS.MS_NOEXEC;
  sys().mount({ source: 'cgroup2', target: CGROUP_MOUNT, type: 'cgroup2', flags });
  return 'unified';
}

function subDirs(dir: string): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [dir, ...entries.flatMap((entry) => subDirs(join(dir, entry.name)))];
  } catch {
    return [];
  }
}
