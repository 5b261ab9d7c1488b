import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { reading } from '../fs-error.ts';
import { decodeName, encodeName, fsPath } from '../path-bytes.ts';
import { type Sys, sys } from '../sys.ts';
import type { Tree, TreeEntry } from '../types.ts';
import { sortTree } from './tree.ts';

export interface DiffUpperOptions {
  /** Name of overlay's opaque mark: `trusted.` as root, `user.` in a user namespace. */
  readonly opaqueXattr: 'trusted.overlay.opaque' | 'user.overlay.opaque';
  /** Gives the root directory as an entry too. @default false */
  readonly withRoot?: boolean;
}

interface Walk {
  readonly dir: string;
  readonly options: DiffUpperOptions;
  readonly calls: Sys;
  readonly entries: TreeEntry[];
  /** dev:ino → the path met first. */
  readonly inodes: Map<string, string>;
}

/**
 * The changes that an overlay's upper directory holds, without file digests. Packing leaves sockets out, as Docker does.
 * @see kernel Documentation/filesystems/overlayfs.rst §whiteouts and opaque directories
 * @throws CONTEXT_UNREADABLE
 */
export function diffUpper(dir: string, options: DiffUpperOptions): Tree {
  const walk: Walk = { dir, options, calls: sys(), entries: [], inodes: new Map() };
  const root = addEntry(walk, '', lstatSync(dir));
  if (!options.withRoot && root !== undefined) walk.entries.splice(walk.entries.indexOf(root), 1);
  walkDirectory(walk, '');
  return sortTree(walk.entries);
}

function walkDirectory(walk: Walk, path: string): void {
  const absolute = path === '' ? walk.dir : `${walk.dir}/${path}`;
  for (const name of namesIn(absolute)) {
    const child = path === '' ? name : `${path}/${name}`;
    const stat = reading(child, () => lstatSync(fsPath(`${walk.dir}/${child}`)));
    const entry = addEntry(walk, child, stat);
    if (entry?.type === 'dir') walkDirectory(walk, child);
  }
}

/** Sorted, so that the first path of an inode is the one that canonical order wants. */
function namesIn(directory: string): readonly string[] {
  const names = reading(directory, () => readdirSync(fsPath(directory)));
  if (!names.some((name) => name.includes('\ufffd'))) return names.sort();
  return readdirSync(fsPath(directory), { encoding: 'buffer' })
    .map((name) => decodeName(name))
    .sort();
}

function addEntry(walk: Walk, path: string, stat: Stats): TreeEntry | undefined {
  const type = typeOf(stat);
  if (type === undefined) return undefined;
  if (type === 'char' && stat.rdev === 0) {
    walk.entries.push({ path, type: 'whiteout', mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 });
    return undefined;
  }
  const absolute = path === '' ? walk.dir : `${walk.dir}/${path}`;
  const native = absolute.isWellFormed() ? absolute : encodeName(absolute);
  const names = walk.calls.llistxattr(native);
  const xattrs = names.length === 0 ? undefined : keptXattrs(walk.calls, native, names);
  const facts: TreeEntry = {
    path,
    type,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: type === 'file' ? stat.size : 0,
    mtimeSec: Math.floor(stat.mtimeMs / 1000),
    ...(xattrs === undefined ? {} : { xattrs }),
  };
  const entry = finishEntry(walk, facts, { stat, absolute });
  walk.entries.push(entry);
  if (type === 'dir' && isOpaque(walk, native, names)) {
    walk.entries.push({ path, type: 'opaque', mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 });
  }
  return entry;
}

function finishEntry(
  { inodes }: Walk,
  facts: TreeEntry,
  { stat, absolute }: { stat: Stats; absolute: string },
): TreeEntry {
  if (facts.type === 'dir' || facts.type === 'socket') return facts;
  if (stat.nlink > 1) {
    const inode = `${stat.dev}:${stat.ino}`;
    const link = inodes.get(inode);
    if (link !== undefined) return { ...facts, type: 'hardlink', size: 0, link };
    inodes.set(inode, facts.path);
  }
  if (facts.type === 'symlink') {
    const text = reading(facts.path, () => readlinkSync(fsPath(absolute), { encoding: 'buffer' }));
    return { ...facts, link: decodeName(text) };
  }
  return facts.type === 'char' || facts.type === 'block' ? { ...facts, ...deviceOf(stat.rdev) } : facts;
}

/** "x", which newer kernels set where a directory holds whiteouts made of xattrs, does not mean opaque. */
function isOpaque({ calls, options }: Walk, path: string | Buffer, names: readonly string[]): boolean {
  if (!names.includes(options.opaqueXattr)) return false;
  return calls.lgetxattr(path, options.opaqueXattr)?.toString('latin1') === 'y';
}

/** Attributes that belong to the file, their values in base64; undefined where it has none. */
export function keptXattrs(
  calls: Sys,
  path: string | Buffer,
  names: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const kept: Record<string, string> = {};
  let any = false;
  for (const name of names) {
    if (!isKept(name)) continue;
    const value = calls.lgetxattr(path, name);
    if (value === undefined) continue;
    kept[name] = value.toString('base64');
    any = true;
  }
  return any ? kept : undefined;
}

/** Labels and ACL caches belong to this machine; capabilities belong to the file. */
function isKept(name: string): boolean {
  if (name.startsWith('security.')) return name === 'security.capability';
  return !/^(system\.|(trusted|user)\.overlay\.)/.test(name);
}

function typeOf(stat: Stats): TreeEntry['type'] | undefined {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'dir';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isFIFO()) return 'fifo';
  if (stat.isCharacterDevice()) return 'char';
  if (stat.isBlockDevice()) return 'block';
  return stat.isSocket() ? 'socket' : undefined;
}

/** Linux' 64-bit device number: 12 bits of the minor stand above the major. */
function deviceOf(rdev: number): { devMajor: number; devMinor: number } {
  const low = rdev % 0x100000000;
  return {
    devMajor: ((low >>> 8) & 0xfff) + Math.floor(rdev / 0x100000000 / 0x1000) * 0x1000,
    devMinor: (low & 0xff) | ((low >>> 12) & 0xfff00),
  };
}
