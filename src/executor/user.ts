import { fstatSync, readSync } from 'node:fs';
import { OcibuildError } from '../errors/error.ts';
import { SYS, sys } from '../layer/sys.ts';

/** Who a process runs as. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, the primary one first. */
  readonly additionalGids: readonly number[];
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const MAX_FILE_BYTES = 10 * 1024 * 1024;
const MAX_ID = 2 ** 31 - 1;

/**
 * Looks `user[:group]` (names or numbers, empty = root) up in the passwd and group files of a root directory,
 * without ever following a symlink out of it. An unknown number is taken as it is, with group 0; supplementary
 * groups count only where no group is given.
 * @throws RUN_USER_UNKNOWN for a name that is in neither file, a number out of range, a file above 10 MiB.
 */
export function resolveUser(rootDir: string, user: string): ResolvedUser {
  const { rootFd, close } = openRoot(rootDir);
  try {
    return lookUpUser(user, (path) => readInRoot(rootFd, path));
  } finally {
    close();
  }
}

/** Numbers of groups of a root directory by their names or numbers. @throws RUN_USER_UNKNOWN */
export function resolveGroups(rootDir: string, names: readonly string[]): number[] {
  if (names.length === 0) return [];
  const { rootFd, close } = openRoot(rootDir);
  try {
    const groups = parseGroup(readInRoot(rootFd, 'etc/group') ?? '');
    return names.map((name) => lookUpGroup(name, name, groups));
  } finally {
    close();
  }
}

/** `resolveUser` over a function that gives a file's text in the root, or undefined where there is none. */
export function lookUpUser(user: string, read: (path: string) => string | undefined): ResolvedUser {
  const cut = user.indexOf(':');
  const userPart = cut < 0 ? user : user.slice(0, cut);
  const groupPart = cut < 0 ? '' : user.slice(cut + 1);
  const passwd = parsePasswd(read('etc/passwd') ?? '');
  const wanted = userPart === '' ? '0' : userPart;
  const number = parseId(wanted, user);
  const entry = passwd.find((item) => item.name === wanted || item.uid === number);
  const uid = entry?.uid ?? number;
  if (uid === undefined) throw unknown(user, `there is no user "${userPart}" in its /etc/passwd`);

  if (groupPart !== '') {
    const gid = lookUpGroup(groupPart, user, parseGroup(read('etc/group') ?? ''));
    return { uid, gid, additionalGids: [gid], home: homeOf(entry) };
  }
  const gid = entry?.gid ?? 0;
  const groups = entry === undefined || user === '' ? [] : parseGroup(read('etc/group') ?? '');
  const more = groups.filter((group) => group.members.includes(entry?.name ?? '')).map((group) => group.gid);
  return { uid, gid, additionalGids: [...new Set([gid, ...more])], home: homeOf(entry) };
}

function lookUpGroup(group: string, user: string, groups: readonly GroupEntry[]): number {
  const number = parseId(group, user);
  const gid = groups.find((item) => item.name === group || item.gid === number)?.gid ?? number;
  if (gid === undefined) throw unknown(user, `there is no group "${group}" in its /etc/group`);
  return gid;
}

function homeOf(entry: PasswdEntry | undefined): string {
  return entry === undefined || entry.home === '' ? '/' : entry.home;
}

function parseId(text: string, user: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const id = Number(text);
  if (id > MAX_ID) throw unknown(user, `the id ${text} is above ${MAX_ID}`);
  return id;
}

function parsePasswd(text: string): PasswdEntry[] {
  return rows(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) =>
    /^\d+$/.test(uid) && /^\d+$/.test(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [],
  );
}

function parseGroup(text: string): GroupEntry[] {
  return rows(text).flatMap(([name = '', , gid = '', members = '']) =>
    /^\d+$/.test(gid)
      ? [{ name, gid: Number(gid), members: members.split(',').map((item) => item.trim()) }]
      : [],
  );
}

function rows(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function openRoot(rootDir: string): { rootFd: number; close: () => void } {
  const calls = sys();
  const rootFd = calls.openat2(SYS.AT_FDCWD, rootDir, { flags: SYS.O_PATH, resolve: 0 });
  return { rootFd, close: () => calls.close(rootFd) };
}

function readInRoot(rootFd: number, path: string): string | undefined {
  const calls = sys();
  let fd: number;
  try {
    // O_NONBLOCK: a fifo of that name in the image must not stop the build.
    fd = calls.openat2(rootFd, path, { flags: 0x800, resolve: SYS.RESOLVE_IN_ROOT });
  } catch (error) {
    const errno = error instanceof OcibuildError ? error.details.errno : undefined;
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined;
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return undefined;
    if (stat.size > MAX_FILE_BYTES) {
      throw new OcibuildError(
        'RUN_USER_UNKNOWN',
        `Cannot look up users in "/${path}" of the image: it has ${stat.size} B, the limit is ${MAX_FILE_BYTES} B`,
        { details: { path: `/${path}`, size: stat.size } },
      );
    }
    const buffer = Buffer.alloc(stat.size);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      read = readSync(fd, buffer, length, buffer.length - length, length);
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    calls.close(fd);
  }
}

function unknown(user: string, why: string): OcibuildError {
  return new OcibuildError('RUN_USER_UNKNOWN', `Cannot run as user "${user}" of the image: ${why}`, {
    hint: 'create the user in a RUN step before, or use a numeric id',
    details: { user },
  });
}
