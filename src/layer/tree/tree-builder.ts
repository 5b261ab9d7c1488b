import type { Digest } from '../../image/types.ts';
import { decodeName } from '../path-bytes.ts';
import { invalidLayer } from '../tar/tar-numbers.ts';
import type { TarMember } from '../tar/tar-parser.ts';
import type { EntryType, Tree, TreeEntry } from '../types.ts';
import { sortTree } from './tree.ts';

/** Collects the members of a layer archive as tree entries and settles what hostile or odd archives say. */
export interface TreeBuilder {
  /**
   * The entry for a member, at the path where it belongs once symlinks of this layer are followed; undefined for
   * what layers do not keep. Its predecessor at the same path is gone from the tree. @throws LAYER_INVALID
   */
  place(member: TarMember): TreeEntry | undefined;
  /** The content digest of the file placed last. */
  setDigest(path: string, digest: Digest): void;
  /** The latest entry at a path, whiteouts and opaque marks aside. */
  get(path: string): TreeEntry | undefined;
  /** Canonical order. */
  finish(): Tree;
}

export interface TreeBuilderOptions {
  /** Lets hardlinks name files of lower layers, where the layer goes onto a whole root. @default false */
  readonly foreignLinks?: boolean;
  /** Refuses members behind a symlink that leads above the root by `..`, which otherwise ends there. @default false */
  readonly refuseEscapes?: boolean;
  /** Memory that the entries may take, about. @default 1 GiB */
  readonly maxBytes?: number;
  /** Entries that may be looked at where members replace others. @default 1e9 */
  readonly maxScanned?: number;
  /** Where a symlink of a lower layer at that path leads to; for directories the layer does not list. */
  readonly lowerLink?: (path: string) => string | undefined;
}

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'dir',
  '6': 'fifo',
};
/** As many as the kernel follows in one path. */
const MAX_LINKS = 40;
/** What the entries of one layer may hold: room for some four million files, far above any image. */
const MAX_TREE_BYTES = 1 << 30;
/** Entries looked at to find what is below a path or linked to it: some ten seconds. */
const MAX_SCANNED = 1e9;
/** An entry without its texts. */
const ENTRY_BYTES = 256;
const OPAQUE = '.wh..wh..opq';
const WHITEOUT = '.wh.';
const AUFS_META = '.wh..wh.';

export function createTreeBuilder(options: TreeBuilderOptions = {}): TreeBuilder {
  const entries = new Map<string, TreeEntry>();
  const marks = new Map<string, TreeEntry>();
  const linked = new Set<string>();
  const { maxBytes = MAX_TREE_BYTES, maxScanned = MAX_SCANNED } = options;
  let symlinks = 0;
  let heldBytes = 0;
  let scanned = 0;

  function place(member: TarMember): TreeEntry | undefined {
    const parts = splitPath(member.name);
    const base = parts.at(-1) ?? '';
    if (member.name.length === 0) throw invalidLayer('a member has no name');
    // AUFS keeps its own data under names with a double prefix; no other driver wants it.
    if (base !== OPAQUE && parts.some((part) => part.startsWith(AUFS_META))) return undefined;
    const parents = parts.slice(0, -1);
    if (parents.some((part) => part.startsWith(WHITEOUT))) {
      throw invalidLayer(`"${parts.join('/')}" lies below a whiteout`);
    }
    const parent = resolveDirectory(parents, entries, options);
    if (base.startsWith(WHITEOUT)) return placeMark(parent, base);
    const entry = entryOf(member, joinPath(parent, base));
    checkParents(parent);
    replace(entry);
    return entry;
  }

  function placeMark(parent: string, base: string): TreeEntry {
    const hidden = base.slice(WHITEOUT.length);
    if (base !== OPAQUE && (hidden === '' || hidden === '.' || hidden === '..')) {
      throw invalidLayer(`"${joinPath(parent, base)}" is a whiteout of nothing`);
    }
    const entry: TreeEntry =
      base === OPAQUE ? markOf('opaque', parent) : markOf('whiteout', joinPath(parent, hidden));
    marks.set(`${entry.type} ${entry.path}`, entry);
    return entry;
  }

  function entryOf(member: TarMember, path: string): TreeEntry {
    const { flag, mode, uid, gid, size, mtimeSec, devMajor, devMinor } = member;
    const type = TYPES[flag];
    if (type === undefined) throw invalidLayer(`"${path}" has the unknown type "${flag}"`);
    if (path === '' && type !== 'dir') throw invalidLayer('the root of the layer is no directory');
    const xattrs = keptXattrs(member.xattrs);
    const facts: TreeEntry = {
      path,
      type,
      mode,
      uid,
      gid,
      size,
      mtimeSec,
      ...(xattrs === undefined ? {} : { xattrs }),
    };
    if (type === 'char' || type === 'block') return { ...facts, devMajor, devMinor };
    if (type === 'symlink') return { ...facts, link: decodeName(member.linkName) };
    if (type !== 'hardlink') return facts;
    const parts = splitPath(member.linkName);
    const link = joinPath(resolveDirectory(parts.slice(0, -1), entries, options), parts.at(-1) ?? '');
    const target = entries.get(link);
    if (target?.type === 'dir' || link === '' || link === path) {
      throw invalidLayer(`"${path}" is a hard link to "${link}", which is no file`);
    }
    if (target === undefined) {
      if (options.foreignLinks) return { ...facts, link };
      throw invalidLayer(`"${path}" is a hard link to "${link}", which is not in the layer before it`);
    }
    const first = target.type === 'hardlink' ? (target.link ?? link) : link;
    linked.add(first);
    const { digest: _, devMajor: __, devMinor: ___, ...inode } = target;
    return { ...inode, path, type: 'hardlink', size: 0, link: first };
  }

  /** A parent that is no directory cannot hold anything; one that is not listed may be in a lower layer. */
  function checkParents(parent: string): void {
    const entry = entries.get(parent);
    if (entry !== undefined && entry.type !== 'dir') {
      throw invalidLayer(`"${parent}" holds other members and is no directory`);
    }
  }

  function replace(entry: TreeEntry): void {
    const before = entries.get(entry.path);
    if (before !== undefined) {
      if (linked.delete(entry.path)) passInodeOn(before);
      if (before.type === 'symlink') symlinks--;
    }
    if (entry.type !== 'dir' && (before === undefined || before.type === 'dir')) removeBelow(entry.path);
    entries.set(entry.path, entry);
    if (entry.type === 'symlink') symlinks++;
  }

  /** No layer that a tool makes replaces what it brought itself more than a few times. */
  function countScan(): void {
    scanned += entries.size;
    if (scanned > maxScanned)
      throw invalidLayer('it replaces its own directories and linked files too often');
  }

  function removeBelow(path: string): void {
    if (!hasChildren.has(path)) return;
    countScan();
    for (const [key, entry] of entries) {
      if (!key.startsWith(`${path}/`)) continue;
      if (linked.delete(key)) passInodeOn(entry);
      entries.delete(key);
    }
    hasChildren.delete(path);
  }

  /** The inode of a path that is replaced lives on at the first of its other paths. */
  function passInodeOn(inode: TreeEntry): void {
    let first: string | undefined;
    countScan();
    for (const [path, entry] of entries) {
      if (entry.type !== 'hardlink' || entry.link !== inode.path) continue;
      if (first === undefined) {
        first = path;
        entries.set(path, { ...inode, path });
      } else {
        entries.set(path, { ...entry, link: first });
        linked.add(first);
      }
    }
  }

  const hasChildren = new Set<string>();
  function noteParents(path: string): void {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      const parent = path.slice(0, at);
      if (hasChildren.has(parent)) return;
      hasChildren.add(parent);
    }
  }

  return {
    place(member) {
      heldBytes += ENTRY_BYTES + member.name.length + member.linkName.length + xattrBytes(member.xattrs);
      if (heldBytes > maxBytes) throw invalidLayer(`its entries alone take more than ${maxBytes} B`);
      const entry = place(member);
      if (entry !== undefined) noteParents(entry.path);
      return entry;
    },
    setDigest(path, digest) {
      const entry = entries.get(path);
      if (entry?.type === 'file') entries.set(path, { ...entry, digest });
    },
    get: (path) => entries.get(path),
    finish: () => sortTree([...marks.values(), ...entries.values()]),
  };

  function resolveDirectory(
    parts: readonly string[],
    known: ReadonlyMap<string, TreeEntry>,
    { lowerLink, refuseEscapes }: TreeBuilderOptions,
  ): string {
    if (symlinks === 0 && lowerLink === undefined) return parts.join('/');
    return followLinks(parts, refuseEscapes === true, (path) => {
      const entry = known.get(path);
      if (entry !== undefined) return entry.type === 'symlink' ? entry.link : undefined;
      return lowerLink?.(path);
    });
  }
}

/** Follows symlinks inside the root: absolute ones start there, `..` stops there. */
function followLinks(
  parts: readonly string[],
  refuseEscapes: boolean,
  linkAt: (path: string) => string | undefined,
): string {
  const rest = [...parts];
  /** Paths from the root: each a component longer than the one before. */
  const done: string[] = [];
  for (let links = 0; rest.length > 0; ) {
    const part = rest.shift() as string;
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (done.pop() === undefined && refuseEscapes) {
        throw invalidLayer(`"${parts.join('/')}" leads out of the root through a symlink`);
      }
      continue;
    }
    const above = done.at(-1);
    const here = above === undefined ? part : `${above}/${part}`;
    const target = linkAt(here);
    if (target === undefined) {
      done.push(here);
      continue;
    }
    if (++links > MAX_LINKS) throw invalidLayer(`"${parts.join('/')}" leads through too many symlinks`);
    if (target.startsWith('/')) done.length = 0;
    rest.unshift(...target.split('/'));
  }
  return done.at(-1) ?? '';
}

/** Components of a name; `..` may shorten it but not leave the root. */
function splitPath(bytes: Buffer): string[] {
  const parts: string[] = [];
  for (const part of decodeName(bytes).split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw invalidLayer(`"${bytes.toString()}" leaves the root`);
  }
  return parts;
}

function joinPath(parent: string, base: string): string {
  return parent === '' ? base : base === '' ? parent : `${parent}/${base}`;
}

function markOf(type: 'whiteout' | 'opaque', path: string): TreeEntry {
  return { path, type, mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 };
}

function xattrBytes(xattrs: ReadonlyMap<string, Buffer>): number {
  let bytes = 0;
  for (const [name, value] of xattrs) bytes += name.length + Math.ceil(value.length / 3) * 4;
  return bytes;
}

/** Overlay's own attributes would let a layer steer the mount that it is put into. */
function keptXattrs(xattrs: ReadonlyMap<string, Buffer>): Record<string, string> | undefined {
  const kept = [...xattrs].filter(([name]) => !/^(trusted|user)\.overlay\./.test(name));
  if (kept.length === 0) return undefined;
  kept.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(kept.map(([name, value]) => [name, value.toString('base64')]));
}
