import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfAborted } from '../../errors/error.ts';
import { changedError, readError, writeError } from '../fs-error.ts';
import { setOwner } from '../node-writer.ts';
import { fsPath } from '../path-bytes.ts';
import { SYS, sys } from '../sys.ts';
import type { FileContent, Tree, TreeEntry } from '../types.ts';

export interface WriteTreeOptions {
  readonly content: (entry: TreeEntry) => FileContent;
  /** A file of another layer that is just what the entry asks for: it gets one more name, where it can. */
  readonly same?: (entry: TreeEntry) => string | Buffer | undefined;
  /** How an opaque directory is marked: `trusted.overlay.opaque`, or `user.overlay.opaque` rootless. */
  readonly opaqueXattr: string;
  /** Leaves out device nodes, which user namespaces cannot make. @default false */
  readonly ignoreDevices?: boolean;
  readonly signal: AbortSignal;
}

/** The UI and other steps get a turn at least this often. */
const SLICE_MS = 15;

/**
 * Writes a tree in canonical order into an empty directory, as a layer that overlay can stack: whiteouts become
 * 0:0 devices. Files are copied, as shared extents where the file system can.
 * @throws CONTEXT_CHANGED when a file is not what it was when the tree was made
 */
export async function writeTree(dir: string, tree: Tree, options: WriteTreeOptions): Promise<void> {
  let sliceEnd = performance.now() + SLICE_MS;
  const directories: TreeEntry[] = [];
  for (const entry of tree) {
    if (performance.now() > sliceEnd) {
      await nextTurn();
      throwIfAborted(options.signal);
      sliceEnd = performance.now() + SLICE_MS;
    }
    try {
      writeEntry(dir, entry, options);
    } catch (error) {
      throw writeError(error, 'write', `${dir}/${entry.path}`);
    }
    if (entry.type === 'dir') directories.push(entry);
  }
  // Writing into a directory changes its time, so times come last, deepest first.
  for (const { path, mtimeSec } of directories.reverse())
    utimesSync(fsPath(`${dir}/${path}`), mtimeSec, mtimeSec);
}

function writeEntry(dir: string, entry: TreeEntry, options: WriteTreeOptions): void {
  const path = fsPath(`${dir}/${entry.path}`);
  switch (entry.type) {
    case 'dir':
      if (entry.path !== '') mkdirSync(path);
      break;
    case 'file':
      if (linkSame(path, options.same?.(entry))) return;
      copyFile(entry, path, options.content(entry));
      break;
    case 'symlink':
      symlinkSync(fsPath(entry.link ?? ''), path);
      break;
    case 'hardlink': {
      const target = fsPath(`${dir}/${entry.link ?? ''}`);
      // Another name of a device that was left out.
      if (options.ignoreDevices && lstatSync(target, { throwIfNoEntry: false }) === undefined) return;
      linkSync(target, path);
      return;
    }
    case 'whiteout':
      sys().mknod(path, { type: SYS.S_IFCHR, mode: 0 });
      return;
    case 'socket':
      return;
    case 'opaque':
      sys().lsetxattr(path, options.opaqueXattr, Buffer.from('y'));
      return;
    case 'fifo':
      sys().mknod(path, { type: SYS.S_IFIFO, mode: entry.mode });
      break;
    case 'char':
    case 'block': {
      if (options.ignoreDevices) return;
      const type = entry.type === 'char' ? SYS.S_IFCHR : SYS.S_IFBLK;
      sys().mknod(path, { type, mode: entry.mode, major: entry.devMajor ?? 0, minor: entry.devMinor ?? 0 });
      break;
    }
  }
  setAttributes(path, entry);
}

/** False where it has no such file, or as many names as the file system allows. */
function linkSame(path: string | Buffer, file: string | Buffer | undefined): boolean {
  if (file === undefined) return false;
  try {
    linkSync(file, path);
    return true;
  } catch {
    return false;
  }
}

/** Owner before mode: chown clears the setuid bit. */
function setAttributes(path: string | Buffer, entry: TreeEntry): void {
  // As root, libuv gives a copied file to the owner of the original.
  const isCopy = entry.type === 'file' && process.geteuid?.() === 0;
  if (isCopy && entry.uid === 0 && entry.gid === 0) lchownSync(path, 0, 0);
  else if (entry.uid !== 0 || entry.gid !== 0 || entry.type === 'file')
    setOwner(entry, {}, () => lchownSync(path, entry.uid, entry.gid));
  if (entry.type !== 'symlink') chmodSync(path, entry.mode);
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
    sys().lsetxattr(path, name, Buffer.from(value, 'base64'));
  }
  if (entry.type === 'symlink') lutimesSync(path, entry.mtimeSec, entry.mtimeSec);
  else if (entry.type !== 'dir') utimesSync(path, entry.mtimeSec, entry.mtimeSec);
}

function copyFile(entry: TreeEntry, target: string | Buffer, content: FileContent): void {
  if (entry.size === 0) {
    // Its source may be a socket, which cannot be opened.
    writeFileSync(target, '', { flag: 'wx' });
    return;
  }
  try {
    copyFileSync(content.path, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  } catch (error) {
    const missing = lstatSync(content.path, { throwIfNoEntry: false });
    throw missing?.isFile() ? error : readError(error, entry.path);
  }
  const { size } = lstatSync(target);
  const after = lstatSync(content.path, { throwIfNoEntry: false });
  if (size !== entry.size)
    throw changedError(entry.path, `it has ${size} B now, ${entry.size} B when it was listed`);
  if (content.mtimeMs !== undefined && after?.mtimeMs !== content.mtimeMs) {
    throw changedError(entry.path, 'it was written while it was copied');
  }
}
