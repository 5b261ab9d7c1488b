import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { SYS, sys } from '../layer/sys.ts';
import { syscallErrno } from './mounts.ts';

/** Where a path of a root file system leads once its symlinks are followed inside that root. */
export interface Location {
  /** Absolute path in the root of the deepest part that exists; has no symlinks. */
  readonly existing: string;
  /** Names below it that do not exist. */
  readonly missing: readonly string[];
}

/** An entry made for a mount, to be taken away again. */
export interface Stub {
  /** Path on the host. */
  readonly path: string;
  readonly kind: StubKind;
}

/** What a mount needs to be mounted on; runc gives a tmpfs the mode of the directory below it. */
export type StubKind = 'dir' | 'tmpfs' | 'file';

const MAX_LINKS = 40;
const PATH_FAULTS = ['ENOTDIR', 'ELOOP', 'ENAMETOOLONG'];

/**
 * Resolves an absolute path inside `root`: symlinks and `..` never leave it. A dangling symlink counts as the path
 * that it names.
 * @throws SYSCALL_FAILED for a file in the middle of the path or a loop.
 */
export function locate(root: string, path: string): Location {
  let rest = names(path);
  let existing = '/';
  let links = 0;
  const whole = resolveExisting(root, join('/', path));
  if (whole !== undefined) return { existing: whole, missing: [] };
  while (rest.length > 0) {
    const [name = '', ...more] = rest;
    const next = resolveExisting(root, join(existing, name));
    if (next !== undefined) {
      existing = next;
      rest = more;
      continue;
    }
    const link = readLink(join(root, existing, name));
    if (link === undefined) return { existing, missing: rest };
    if (++links > MAX_LINKS) throw fault(path, 'ELOOP');
    rest = [...names(link), ...more];
    if (link.startsWith('/')) existing = '/';
    // `..` of a path that does not exist yet can only be taken as text.
    rest = names(join('/', ...names(existing), ...rest));
    existing = '/';
  }
  return { existing, missing: [] };
}

/** The path where `location` will be once everything missing is made. */
export function finalPath({ existing, missing }: Location): string {
  return join(existing, ...missing);
}

/** Makes the missing directories with this owner, 0755. They may stay in the step's layer, so their time is fixed:
 * a step that sets the times of its own files gives the same layer at any time. */
export function makeDirs(root: string, location: Location, owner: { uid: number; gid: number }): void {
  let path = join(root, location.existing);
  const made = location.missing.map((name) => {
    path = join(path, name);
    mkdirSync(path);
    chmodSync(path, 0o755);
    if (owner.uid !== 0 || owner.gid !== 0) chownSync(path, owner.uid, owner.gid);
    return path;
  });
  for (const dir of made.toReversed()) sys().lutimes(dir, { sec: 0, nsec: 0 });
}

/** Makes what is missing of a mount point, its parents' times kept; gives what it made, parents first. */
export function makeStub(root: string, location: Location, kind: StubKind): Stub[] {
  let path = join(root, location.existing);
  return location.missing.map((name, index) => {
    const last = index === location.missing.length - 1;
    path = join(path, name);
    const stub: Stub = { path, kind: last ? kind : 'dir' };
    keepTime(dirname(path), () => makeEntry(stub));
    return stub;
  });
}

/** Takes stubs away that are still empty, their parents' times kept. The step may have put symlinks in the place of their
 * parents, so that only what is inside `root` without following any is looked at. */
export function removeStubs(root: string, stubs: readonly Stub[]): void {
  for (const { path } of stubs.toReversed()) {
    try {
      const inside = path.slice(root.length);
      if (finalPath(locate(root, inside)) !== inside) continue;
      const stat = lstatSync(path);
      if (stat.isDirectory()) keepTime(dirname(path), () => rmdirSync(path));
      else if (stat.isFile() && stat.size === 0) keepTime(dirname(path), () => unlinkSync(path));
    } catch {
      // Not empty or not there: the step put something in its place, and that is part of its result.
    }
  }
}

function makeEntry({ path, kind }: Stub): void {
  if (kind === 'file') writeFileSync(path, '', { flag: 'wx' });
  else mkdirSync(path);
  // What mkdir(2) inherits of a parent with setgid shows where the step puts more into the directory.
  const inherited = lstatSync(path).mode & 0o2000;
  chmodSync(path, { dir: 0o755, tmpfs: 0o1777, file: 0o644 }[kind] | inherited);
}

function keepTime(dir: string, change: () => void): void {
  const { mtimeNs } = statSync(dir, { bigint: true });
  change();
  const billion = 1_000_000_000n;
  sys().lutimes(dir, { sec: Number(mtimeNs / billion), nsec: Number(mtimeNs % billion) });
}

function resolveExisting(root: string, path: string): string | undefined {
  const calls = sys();
  const rootFd = calls.openat2(SYS.AT_FDCWD, root, { flags: SYS.O_PATH, resolve: 0 });
  try {
    const fd = calls.openat2(rootFd, path, { flags: SYS.O_PATH, resolve: SYS.RESOLVE_IN_ROOT });
    try {
      const real = readlinkSync(`/proc/self/fd/${fd}`);
      const base = readlinkSync(`/proc/self/fd/${rootFd}`);
      return real === base ? '/' : real.slice(base.length);
    } finally {
      calls.close(fd);
    }
  } catch (error) {
    if (syscallErrno(error) === 'ENOENT') return undefined;
    if (PATH_FAULTS.includes(syscallErrno(error))) throw fault(path, syscallErrno(error));
    throw error;
  } finally {
    calls.close(rootFd);
  }
}

function fault(path: string, errno: string): OcibuildError {
  const why = errno === 'ENOTDIR' ? 'a part of it is no directory' : `its symlinks do not end (${errno})`;
  return new OcibuildError('SYSCALL_FAILED', `Cannot resolve "${path}" in the root of the step: ${why}`, {
    details: { errno, path },
  });
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function names(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
