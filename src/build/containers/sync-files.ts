import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { posix } from 'node:path';
import { isOcibuildError } from '../../errors/error.ts';
import { SYS, sys } from '../../layer/sys.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { reachOf } from './control.ts';
import type { Container } from './types.ts';

export interface SyncOptions {
  readonly container: Container;
  /** Whether a path below a directory that is copied is copied too. */
  readonly wanted: (source: string, isDir: boolean) => boolean;
}

/** Whether files of a running container can be reached: a sandbox such as gVisor's has a file system of its own. */
export function canSync(container: Container): boolean {
  return reachOf(container, 'copy files into').runtime.flavour !== 'runsc';
}

/**
 * Makes paths of a running container equal to paths of this machine, or removes them where those are gone. Owners are
 * those of what stood there, or of the directory. The container may change its files meanwhile, so every path is
 * resolved inside its root, and no link of it leads out of there.
 * @returns how many files, links and directories were written or removed
 * @throws CONTAINER_STATE_INVALID, SYSCALL_FAILED, ENOSPC and the like of node:fs
 */
export function syncFiles(
  copies: readonly { readonly source: string; readonly target: string }[],
  { container, wanted }: SyncOptions,
): number {
  const { pid } = reachOf(container, 'copy files into');
  const root = openSync(`/proc/${pid}/root`, SYS.O_PATH | constants.O_DIRECTORY);
  try {
    let count = 0;
    let whole: string | undefined;
    // A directory that changed because of what is in it, which is among the changes, is not copied as a whole.
    const implied = new Set(copies.map(({ target }) => posix.dirname(target)));
    // Parents before what is in them, so that a new directory is there for its files.
    for (const { source, target } of copies.toSorted((a, b) => (a.target < b.target ? -1 : 1))) {
      if (whole !== undefined && target.startsWith(`${whole}/`)) continue;
      const isDir = statOf(source)?.isDirectory() === true;
      if (isDir && implied.has(target) && isDirBelow(root, target)) continue;
      if (isDir) whole = target;
      const parent = openParent(root, posix.dirname(target), statOf(source) !== undefined);
      if (parent === undefined) continue;
      try {
        count += copyInto(parent, posix.basename(target), { source, wanted });
      } finally {
        sys().close(parent);
      }
    }
    return count;
  } finally {
    closeSync(root);
  }
}

/** Directories above are made where they are missing; undefined where they are and need not be there. */
function openParent(root: number, path: string, make: boolean): number | undefined {
  let current = openBelow(root, '.', SYS.RESOLVE_IN_ROOT) as number;
  let done = '';
  for (const name of path.split('/').filter((part) => part !== '')) {
    done = `${done}/${name}`;
    let next = openBelow(root, done, SYS.RESOLVE_IN_ROOT);
    if (next === undefined && make) {
      mkdirSync(at(current, name), { mode: 0o755 });
      keepOwner(at(current, name), current);
      next = openBelow(root, done, SYS.RESOLVE_IN_ROOT);
    }
    sys().close(current);
    if (next === undefined) return undefined;
    current = next;
  }
  return current;
}

function isDirBelow(root: number, path: string): boolean {
  const dir = openBelow(root, path, SYS.RESOLVE_IN_ROOT);
  if (dir !== undefined) sys().close(dir);
  return dir !== undefined;
}

/** A descriptor of a directory; undefined where there is none. */
function openBelow(dir: number, path: string, resolve: number): number | undefined {
  try {
    return sys().openat2(dir, path, { flags: SYS.O_PATH | constants.O_DIRECTORY, resolve });
  } catch (error) {
    const errno = isOcibuildError(error) ? error.details.errno : undefined;
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined;
    throw error;
  }
}

function copyInto(
  parent: number,
  name: string,
  { source, wanted }: { readonly source: string; readonly wanted: SyncOptions['wanted'] },
): number {
  const stat = statOf(source);
  const target = at(parent, name);
  if (stat === undefined) return remove(parent, name);
  if (stat.isDirectory()) {
    if (statOf(target)?.isDirectory() !== true) {
      remove(parent, name);
      mkdirSync(target, { mode: stat.mode & 0o7777 });
      keepOwner(target, parent);
    }
    return 1 + copyBelow(parent, name, { source, wanted });
  }
  if (!stat.isFile() && !stat.isSymbolicLink()) return 0;
  const before = statOf(target);
  const temp = at(parent, `.${name.slice(0, 200)}.${randomBytes(6).toString('hex')}`);
  try {
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(source), temp);
    else {
      copyFileSync(source, temp, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      chmodSync(temp, stat.mode & 0o7777);
    }
    keepOwner(temp, parent, before);
    if (before?.isDirectory()) remove(parent, name);
    renameSync(temp, target);
  } catch (error) {
    unlinkQuietly(temp);
    // Saved and gone again: the next event tells.
    if (errnoOf(error) === 'ENOENT' && statOf(source) === undefined) return 0;
    throw error;
  }
  return 1;
}

function copyBelow(
  parent: number,
  name: string,
  { source, wanted }: { readonly source: string; readonly wanted: SyncOptions['wanted'] },
): number {
  const dir = openBelow(parent, name, SYS.RESOLVE_BENEATH | SYS.RESOLVE_NO_SYMLINKS);
  if (dir === undefined) return 0;
  try {
    let count = 0;
    for (const child of readdirSync(source, { withFileTypes: true })) {
      const path = `${source}/${child.name}`;
      if (wanted(path, child.isDirectory())) count += copyInto(dir, child.name, { source: path, wanted });
    }
    return count;
  } finally {
    sys().close(dir);
  }
}

/** Step by step through descriptors: a path could lead elsewhere by the time it is used. */
function remove(parent: number, name: string): number {
  const path = at(parent, name);
  const stat = statOf(path);
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) {
    unlinkSync(path);
    return 1;
  }
  const dir = openBelow(parent, name, SYS.RESOLVE_BENEATH | SYS.RESOLVE_NO_SYMLINKS);
  if (dir === undefined) return 0;
  let count = 1;
  try {
    for (const child of readdirSync(`/proc/self/fd/${dir}`)) count += remove(dir, child);
  } finally {
    sys().close(dir);
  }
  rmdirSync(path);
  return count;
}

function keepOwner(path: string, parent: number, before?: Stats): void {
  const { uid, gid } = before ?? lstatSync(`/proc/self/fd/${parent}/.`);
  lchownSync(path, uid, gid);
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made.
  }
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** The last component is never followed by the calls that are made with it. */
function at(dir: number, name: string): string {
  return `/proc/self/fd/${dir}/${name}`;
}
