import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  openSync,
  readdirSync,
  writeSync,
} from 'node:fs';
import { errnoOf } from '../util/atomic-fs.ts';
import {
  makeLink,
  makeNode,
  modeOf,
  type NodeOptions,
  nodeError,
  removeNode,
  setFacts,
  setOwner,
  setTimes,
  setXattrs,
  statOf,
} from './node-writer.ts';
import { decodeName, fsPath } from './path-bytes.ts';
import { SYS, sys } from './sys.ts';
import { invalidLayer } from './tar/tar-numbers.ts';
import type { TreeEntry } from './types.ts';

/** Puts entries into a directory, in the order of the archive. Paths have no symlinks in them (TreeBuilder). */
export interface Extractor {
  /** What stands at its path gives way, except that a directory stays one. */
  entry(entry: TreeEntry): void;
  data(bytes: Buffer): void;
  entryEnd(): void;
  /** Directory times, once nothing is created any more. */
  finish(): void;
  abandon(): void;
}

export interface ExtractOptions extends NodeOptions {
  readonly dest: string;
  /**
   * `snapshot`: into an empty directory, deletions in overlay's form. `apply`: onto a root file system, deletions
   * carried out. @see image-spec layer.md §Applying Changesets
   */
  readonly mode: 'snapshot' | 'apply';
  /** The archive is no layer: it may be packed and written in more ways, and link to files that it lacks.
   * @default false */
  readonly foreign?: boolean;
  /** `dest` is root's and 0755 whatever the archive says of its root: as in Docker, no layer changes that. @default false */
  readonly plainRoot?: boolean;
  /** Name of overlay's opaque mark: `trusted.` as root, `user.` in a user namespace. */
  readonly opaqueXattr: 'trusted.overlay.opaque' | 'user.overlay.opaque';
}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

export function createExtractor(options: ExtractOptions): Extractor {
  const { dest, mode } = options;
  const umask = process.umask();
  /** Real directories, so that nothing created in them can end elsewhere. */
  const ready = new Set<string>(['']);
  const times = new Map<string, number>();
  const created = new Set<string>();
  const whiteouts = new Set<string>();
  let file: { fd: number; entry: TreeEntry } | undefined;
  // What mkdir(2) made was cut by the umask.
  if (options.plainRoot === true) chmodSync(dest, 0o755);
  const at = (path: string): string => (path === '' ? dest : `${dest}/${path}`);

  function entry(item: TreeEntry): void {
    const { path, type } = item;
    if (path === '' || type === 'opaque') {
      if (type === 'opaque') hideContent(path);
      else rootEntry(item);
      return;
    }
    ensureParent(path);
    if (type === 'whiteout') {
      hide(path);
      return;
    }
    if (mode === 'snapshot' && type === 'char' && item.devMajor === 0 && item.devMinor === 0) {
      throw invalidLayer(`"${path}" is the device 0:0, which means a deletion to overlay`);
    }
    if (mode === 'apply') created.add(path);
    if (type === 'file') openFile(item);
    else if (type === 'dir') directory(item);
    else other(item);
  }

  function rootEntry(item: TreeEntry): void {
    if (options.plainRoot === true) return;
    setFacts(dest, item, options);
    times.set('', item.mtimeSec);
  }

  function openFile(item: TreeEntry): void {
    const target = fsPath(at(item.path));
    let fd: number;
    try {
      fd = openSync(target, CREATE, item.mode & 0o777);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw nodeError(error, item.path);
      giveWay(item.path);
      fd = openSync(target, CREATE, item.mode & 0o777);
    }
    file = { fd, entry: item };
  }

  function data(bytes: Buffer): void {
    if (file === undefined) return;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(file.fd, bytes, done, bytes.length - done);
    } catch (error) {
      throw nodeError(error, file.entry.path);
    }
  }

  function entryEnd(): void {
    if (file === undefined) return;
    const { fd, entry: item } = file;
    file = undefined;
    try {
      setOwner(item, options, () => fchownSync(fd, item.uid, item.gid));
      const wanted = modeOf(item, options);
      if (wanted !== item.mode || item.mode & (0o7000 | umask)) fchmodSync(fd, wanted);
      if (item.mtimeSec >= 0) futimesSync(fd, item.mtimeSec, item.mtimeSec);
    } catch (error) {
      throw nodeError(error, item.path);
    } finally {
      closeSync(fd);
    }
    if (item.mtimeSec < 0) setTimes(at(item.path), item.mtimeSec);
    setXattrs(at(item.path), item);
  }

  function directory(item: TreeEntry): void {
    const { path } = item;
    const known = ready.has(path) || statOf(at(path))?.isDirectory() === true;
    if (known) setFacts(at(path), item, options);
    else {
      giveWay(path);
      makeNode(at(path), item, options);
      if (whiteouts.delete(path)) markOpaque(path);
    }
    ready.add(path);
    times.set(path, item.mtimeSec);
  }

  function other(item: TreeEntry): void {
    const target = at(item.path);
    giveWay(item.path);
    if (item.type === 'hardlink') {
      const source = at(item.link ?? '');
      const leavesDevices = options.ignoreDevices || options.contentOnly;
      if (leavesDevices && statOf(source) === undefined) return;
      if (whiteouts.has(item.link ?? '')) throw invalidLayer(`"${item.path}" is a hard link to a whiteout`);
      makeLink(target, source, item);
    } else if (makeNode(target, item, options)) setTimes(target, item.mtimeSec);
  }

  /** Makes room at a path; every directory that goes is no longer ready. */
  function giveWay(path: string): void {
    if (statOf(at(path)) === undefined) return;
    removeNode(at(path));
    if (!ready.delete(path)) return;
    times.delete(path);
    for (const known of ready) {
      if (!known.startsWith(`${path}/`)) continue;
      ready.delete(known);
      times.delete(known);
    }
  }

  function ensureParent(path: string): void {
    const slash = path.lastIndexOf('/');
    if (slash > 0) ensureDirectory(path.slice(0, slash));
  }

  function ensureDirectory(path: string): void {
    if (ready.has(path)) return;
    ensureParent(path);
    const stat = statOf(at(path));
    if (stat?.isDirectory()) {
      // apply: a directory of a lower layer that this one does not list keeps its time.
      times.set(path, Math.floor(stat.mtimeMs / 1000));
    } else {
      if (stat !== undefined) giveWay(path);
      const wasHidden = whiteouts.delete(path);
      const parent = impliedDirectory(path);
      makeNode(at(path), parent, options);
      if (wasHidden) markOpaque(path);
      times.set(path, parent.mtimeSec);
    }
    ready.add(path);
  }

  function impliedDirectory(path: string): TreeEntry {
    return { path, type: 'dir', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSec: 0 };
  }

  /** image-spec layer.md §Whiteouts: only lower layers are hidden, never what this layer brings. */
  function hide(path: string): void {
    if (mode === 'apply') {
      removeLower(path);
      return;
    }
    const stat = statOf(at(path));
    if (stat === undefined) {
      if (options.contentOnly) return;
      sys().mknod(fsPath(at(path)), { type: SYS.S_IFCHR, mode: 0 });
      whiteouts.add(path);
    } else if (stat.isDirectory()) markOpaque(path);
  }

  function hideContent(path: string): void {
    ensureDirectory(path);
    if (mode === 'snapshot') {
      markOpaque(path);
      return;
    }
    for (const name of namesIn(path)) removeLower(path === '' ? name : `${path}/${name}`);
  }

  function markOpaque(path: string): void {
    if (options.contentOnly) return;
    sys().lsetxattr(fsPath(at(path)), options.opaqueXattr, Buffer.from('y'));
  }

  /** Removes what this layer did not bring; true where nothing is left. */
  function removeLower(path: string): boolean {
    const stat = statOf(at(path));
    if (stat === undefined) return true;
    if (!stat.isDirectory()) {
      if (created.has(path)) return false;
      removeNode(at(path));
      return true;
    }
    let empty = true;
    for (const name of namesIn(path)) empty = removeLower(`${path}/${name}`) && empty;
    if (!empty || created.has(path)) return false;
    giveWay(path);
    return true;
  }

  function namesIn(path: string): string[] {
    const names = readdirSync(fsPath(at(path)), { encoding: 'buffer' });
    return names.map((name) => decodeName(name));
  }

  return {
    entry,
    data,
    entryEnd,
    finish() {
      for (const [path, mtimeSec] of times) setTimes(at(path), mtimeSec);
    },
    abandon() {
      if (file !== undefined) closeSync(file.fd);
      file = undefined;
    },
  };
}
