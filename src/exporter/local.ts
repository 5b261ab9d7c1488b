import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { encodeName, fsPath } from '../layer/path-bytes.ts';
import { SYS, sys } from '../layer/sys.ts';
import { parentOf } from '../layer/tree/tree-view.ts';
import type { TreeEntry } from '../layer/types.ts';
import { makeDirs } from '../util/make-dirs.ts';
import { exportError, targetError } from './export-error.ts';
import { sourceChanged } from './target.ts';
import type { ExportOptions, ExportTree } from './types.ts';

const ENTRIES_PER_TURN = 64;

/**
 * Writes a root file system into a directory, which is made where it is missing. Existing files are replaced,
 * others stay, unless they are to be removed. Never writes through a symlink below `dest`. Owners are set as root,
 * unless told otherwise.
 * A directory that was made for it is gone again when it fails.
 * @throws DISK_FULL, EXPORT_TARGET_INVALID, EXPORT_FAILED
 */
export async function exportLocal(tree: ExportTree, dest: string, options: ExportOptions): Promise<void> {
  throwIfAborted(options.signal);
  let made: string | undefined;
  try {
    made = makeDirs(dest);
  } catch (error) {
    throw exportError(error, dest);
  }
  try {
    await fill(tree, dest, options);
  } catch (error) {
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    throw error;
  }
}

async function fill(
  { tree, content }: ExportTree,
  dest: string,
  { signal, epochSec, keepOwners = true, removeOthers = false, onProgress }: ExportOptions,
): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  const owners = isRoot ? (keepOwners ? 'kept' : 'own') : 'none';
  const place: Place = { dest, dirs: new Set(['']), owners, mayEmpty: removeOthers };
  const dirs: TreeEntry[] = [];
  let done = 0;
  for (const entry of tree) {
    if (entry.path === '' || ['whiteout', 'opaque', 'socket'].includes(entry.type)) continue;
    const path = join(dest, entry.path);
    try {
      writeEntry(entry, path, place, content);
      if (entry.type === 'dir') dirs.push(entry);
      else if (entry.type !== 'hardlink') setFacts(entry, path, { ...place, epochSec });
    } catch (error) {
      throw exportError(error, path.toString());
    }
    if (++done % ENTRIES_PER_TURN === 0) {
      onProgress?.('copying files', done, tree.length);
      await nextTurn();
      throwIfAborted(signal);
    }
  }
  onProgress?.('copying files', done, done);
  if (removeOthers) await (await import('./remove-others.ts')).removeOthers(dest, tree, signal);
  // Content changes a directory's time, and a read-only one cannot take content: both come last, deepest first.
  for (const entry of dirs.reverse()) {
    const path = join(dest, entry.path);
    try {
      setFacts(entry, path, { ...place, epochSec });
    } catch (error) {
      throw exportError(error, path.toString());
    }
  }
}

interface Place {
  readonly dest: string;
  /** Directories of the tree that are known to be real directories in `dest`. */
  readonly dirs: Set<string>;
  /** `own`: those that a copy brought from its source are taken away. */
  readonly owners: 'kept' | 'own' | 'none';
  /** Directories with content may give way to files. */
  readonly mayEmpty: boolean;
}

function writeEntry(
  entry: TreeEntry,
  path: string | Buffer,
  place: Place,
  content: ExportTree['content'],
): void {
  makeParents(parentOf(entry.path) ?? '', place);
  const existing = statOf(path);
  if (entry.type === 'dir') {
    if (existing === undefined || !existing.isDirectory()) {
      if (existing !== undefined) unlinkSync(path);
      mkdirSync(path, 0o700);
    } else if (place.owners === 'none') chmodSync(path, 0o700);
    place.dirs.add(entry.path);
    return;
  }
  if (existing !== undefined) clear(path, existing, place.mayEmpty);
  switch (entry.type) {
    case 'file': {
      const source = content(entry.path);
      copyFileSync(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      const { size } = statSync(path);
      if (size !== entry.size) throw sourceChanged(entry.path, size, entry.size);
      return;
    }
    case 'symlink':
      symlinkSync(encodeName(entry.link ?? ''), path);
      return;
    case 'hardlink':
      linkSync(join(place.dest, entry.link ?? ''), path);
      return;
    case 'fifo':
    case 'char':
    case 'block':
      makeNode(entry, path, place);
      return;
    case 'socket':
    case 'whiteout':
    case 'opaque':
      return;
  }
}

/** Trees list parents first; one that is missing is made, and anything but a real directory is refused: a tree
 * may not lead out of `dest` through a link that it brought itself. */
function makeParents(dir: string, { dest, dirs }: Pick<Place, 'dest' | 'dirs'>): void {
  if (dirs.has(dir)) return;
  makeParents(parentOf(dir) ?? '', { dest, dirs });
  const path = join(dest, dir);
  const existing = statOf(path);
  if (existing === undefined) mkdirSync(path, 0o755);
  else if (!existing.isDirectory()) {
    throw targetError(path.toString(), 'it is no directory, and the image has files below it');
  }
  dirs.add(dir);
}

/** Unlinked, never written through: the old file may be a symlink, or have other names. */
function clear(path: string | Buffer, existing: Stats, mayEmpty: boolean): void {
  if (mayEmpty) {
    rmSync(path, { recursive: true });
    return;
  }
  if (!existing.isDirectory()) {
    unlinkSync(path);
    return;
  }
  try {
    rmdirSync(path);
  } catch (cause) {
    throw targetError(
      path.toString(),
      'a directory with content is there, and the image has a file of that name',
      cause,
    );
  }
}

function makeNode(entry: TreeEntry, path: string | Buffer, { owners }: Place): void {
  const type = entry.type === 'char' ? SYS.S_IFCHR : entry.type === 'block' ? SYS.S_IFBLK : SYS.S_IFIFO;
  if (owners !== 'kept' && entry.type !== 'fifo') {
    throw new OcibuildError('EXPORT_FAILED', `Cannot make device "${entry.path}": only root can`, {
      hint: 'write a tar file instead: -o type=tar,dest=FILE',
    });
  }
  const { devMajor: major = 0, devMinor: minor = 0 } = entry;
  sys().mknod(path, { type, mode: entry.mode, major, minor });
}

function setFacts(
  entry: TreeEntry,
  path: string | Buffer,
  { owners, epochSec }: Pick<Place, 'owners'> & { epochSec: number | undefined },
): void {
  if (owners === 'kept') lchownSync(path, entry.uid, entry.gid);
  else if (owners === 'own') lchownSync(path, 0, 0);
  // After chown, which clears set-id bits.
  if (entry.type !== 'symlink') chmodSync(path, entry.mode);
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
    try {
      sys().lsetxattr(path, name, Buffer.from(value, 'base64'));
    } catch {
      // The destination's file system may not hold them; the files themselves are what was asked for.
    }
  }
  const time = epochSec ?? entry.mtimeSec;
  lutimesSync(path, time, time);
}

function statOf(path: string | Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function join(dest: string, path: string): string | Buffer {
  return fsPath(`${dest}/${path}`);
}
