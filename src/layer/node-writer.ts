import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  type Stats,
  symlinkSync,
} from 'node:fs';
import { OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { writeError } from './fs-error.ts';
import { fsPath } from './path-bytes.ts';
import { SYS, sys } from './sys.ts';
import { invalidLayer } from './tar/tar-numbers.ts';
import type { TreeEntry } from './types.ts';

/** How nodes are made; the fields travel to a worker. */
export interface NodeOptions {
  /** Leaves out device nodes, which user namespaces cannot make. @default false */
  readonly ignoreDevices?: boolean;
  /** Leaves owners alone, for a user without a namespace of its own. @default false */
  readonly ignoreOwners?: boolean;
  /**
   * The directory only lends the bytes of its files, and a normal user has no more rights than that takes: both of the
   * above, no marks of overlay, and nothing that its maker could not read or fill. @default false
   */
  readonly contentOnly?: boolean;
}

const NODE_TYPES = { char: SYS.S_IFCHR, block: SYS.S_IFBLK, fifo: SYS.S_IFIFO } as const;
/** What a filesystem or namespace without extended attributes answers; Docker goes on without them too. */
const XATTR_TOLERATED = ['ENOTSUP', 'EOPNOTSUPP', 'EPERM'];

/**
 * Makes a directory, symlink, device or FIFO at an absolute path whose parent exists and where nothing is, with owner,
 * mode and attributes but without times. False where a device was left out.
 */
export function makeNode(at: string, entry: TreeEntry, options: NodeOptions): boolean {
  const { type } = entry;
  const leavesDevices = options.ignoreDevices || options.contentOnly;
  if ((type === 'char' || type === 'block') && leavesDevices) return false;
  guard(entry.path, () => {
    if (type === 'dir') mkdirSync(fsPath(at), modeOf(entry, options));
    else if (type === 'symlink') symlinkSync(fsPath(entry.link ?? ''), fsPath(at));
    else if (type === 'char' || type === 'block' || type === 'fifo') makeSpecial(at, entry, NODE_TYPES[type]);
  });
  setFacts(at, entry, options);
  return true;
}

/** @throws LAYER_INVALID where the target is missing or cannot be linked */
export function makeLink(at: string, target: string, entry: TreeEntry): void {
  try {
    linkSync(fsPath(target), fsPath(at));
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (!['ENOENT', 'EPERM', 'ENOTDIR'].includes(errno)) throw nodeError(error, entry.path);
    throw invalidLayer(`"${entry.path}" is a hard link to "${entry.link}", which is not there (${errno})`);
  }
}

/** Owner, mode and attributes of what stands at a path; a symlink's mode is left alone. */
export function setFacts(at: string, entry: TreeEntry, options: NodeOptions): void {
  setOwner(entry, options, () => lchownSync(fsPath(at), entry.uid, entry.gid));
  // mkdir and mknod drop the upper bits and apply the umask, and chown takes setuid away: the mode goes last.
  if (entry.type !== 'symlink') guard(entry.path, () => chmodSync(fsPath(at), modeOf(entry, options)));
  setXattrs(at, entry);
}

/** The mode that what we make gets. */
export function modeOf({ type, mode }: TreeEntry, { contentOnly }: NodeOptions): number {
  if (contentOnly !== true) return mode;
  return (mode & 0o777) | (type === 'dir' ? 0o700 : 0o600);
}

/** @throws ROOTLESS_UNAVAILABLE for an id that the user namespace does not map */
export function setOwner(entry: TreeEntry, options: NodeOptions, chown: () => void): void {
  if (options.ignoreOwners || options.contentOnly) return;
  // A new file belongs to us, and we are 0:0 in every namespace that can give files away.
  if (entry.uid === 0 && entry.gid === 0 && entry.type !== 'dir' && process.geteuid?.() === 0) return;
  try {
    chown();
  } catch (error) {
    if (errnoOf(error) !== 'EINVAL') throw nodeError(error, entry.path);
    throw new OcibuildError(
      'ROOTLESS_UNAVAILABLE',
      `Cannot give "${entry.path}" to ${entry.uid}:${entry.gid}: the user namespace does not map that id`,
      {
        details: { path: entry.path, uid: entry.uid, gid: entry.gid },
        hint: 'give the user more ids in /etc/subuid and /etc/subgid (65536 are usual)',
        cause: error,
      },
    );
  }
}

/** After owners: chown removes capabilities. */
export function setXattrs(at: string, entry: TreeEntry): void {
  if (entry.xattrs === undefined) return;
  for (const [name, value] of Object.entries(entry.xattrs)) {
    try {
      sys().lsetxattr(fsPath(at), name, Buffer.from(value, 'base64'));
    } catch (error) {
      const errno = error instanceof OcibuildError ? String(error.details.errno) : '';
      if (!XATTR_TOLERATED.includes(errno)) throw error;
    }
  }
}

/** Both times of whatever stands there; whole seconds. */
export function setTimes(at: string, mtimeSec: number): void {
  guard(at, () => {
    // node:fs takes a negative number of seconds for "now".
    if (mtimeSec < 0) sys().lutimes(fsPath(at), { sec: mtimeSec, nsec: 0 });
    else lutimesSync(fsPath(at), mtimeSec, mtimeSec);
  });
}

export function statOf(at: string): Stats | undefined {
  return lstatSync(fsPath(at), { throwIfNoEntry: false });
}

export function removeNode(at: string): void {
  guard(at, () => rmSync(fsPath(at), { recursive: true, force: true }));
}

/** Typed form of what the filesystem says to a node of a layer. */
export function nodeError(error: unknown, path: string): OcibuildError {
  const errno = errnoOf(error) ?? '';
  if (['ENAMETOOLONG', 'ENOTDIR', 'EISDIR', 'ELOOP', 'EINVAL', 'ERR_INVALID_ARG_VALUE'].includes(errno)) {
    return invalidLayer(`"${path}" cannot be created (${errno})`, { path });
  }
  return writeError(error, 'create', path);
}

function makeSpecial(at: string, entry: TreeEntry, type: number): void {
  const { mode, devMajor = 0, devMinor = 0 } = entry;
  try {
    sys().mknod(fsPath(at), { type, mode, major: devMajor, minor: devMinor });
  } catch (error) {
    const refused = error instanceof OcibuildError && error.details.errno === 'EPERM';
    if (!refused || entry.type === 'fifo') throw error;
    throw new OcibuildError(
      'ROOTLESS_UNAVAILABLE',
      `Cannot create device "${entry.path}" (${entry.type} ${devMajor}:${devMinor}): this needs root`,
      {
        details: { path: entry.path },
        cause: error,
        hint: 'build as root, or use a base image without device nodes',
      },
    );
  }
}

function guard<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw nodeError(error, path);
  }
}
