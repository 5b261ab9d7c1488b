import { createHash } from 'node:crypto';
import type { Digest } from '../../image/types.ts';
import type { Tree, TreeEntry } from '../types.ts';

/**
 * The canonical order: by path components in UTF-16 order, a directory before its content; in a directory its
 * opaque mark comes first, then its whiteouts, then the rest. @see image-spec layer.md §Whiteouts
 */
export function compareEntries(a: TreeEntry, b: TreeEntry): number {
  const x = sortKey(a);
  const y = sortKey(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

/**
 * Canonical order, and for every hard-linked file the canonical form: its first path is the file and the others
 * are hardlinks to that path. Gives the same array when nothing had to change.
 */
export function sortTree(entries: Tree): Tree {
  const keys = entries.map(sortKey);
  const sorted = isSorted(keys) ? entries : sortBy(entries, keys);
  return canonicalLinks(sorted);
}

/**
 * Digest over every fact of a tree except times, so that a step whose output differs only in them counts as equal.
 * @throws TypeError when a file has no digest yet
 */
export function treeDigest(tree: Tree): Digest {
  const hash = createHash('sha256');
  let text = '';
  for (const entry of tree) {
    text += `${factsOf(entry)}\n`;
    if (text.length < 65536) continue;
    hash.update(text);
    text = '';
  }
  return `sha256:${hash.update(text).digest('hex')}`;
}

function factsOf(entry: TreeEntry): string {
  const { path, type, mode, uid, gid, size, link, xattrs, devMajor = 0, devMinor = 0, digest } = entry;
  if (type === 'file' && digest === undefined) {
    throw new TypeError(`Cannot make a digest of the tree: the content digest of "${path}" is not known`);
  }
  const attributes = xattrs === undefined ? null : Object.entries(xattrs).sort(byName);
  return JSON.stringify([
    path,
    type,
    mode,
    uid,
    gid,
    size,
    link ?? null,
    attributes,
    devMajor,
    devMinor,
    digest ?? null,
  ]);
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** NUL, which no name holds, stands for the separator: it sorts below everything a name may hold. */
function sortKey({ path, type }: TreeEntry): string {
  if (path === '') return type === 'opaque' ? '\0' : '';
  const key = `\0${path.includes('/') ? path.replaceAll('/', '\0') : path}`;
  if (type === 'opaque') return `${key}\0`;
  if (type !== 'whiteout') return key;
  const base = key.lastIndexOf('\0');
  return `${key.slice(0, base)}\0${key.slice(base)}`;
}

function isSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) {
    if ((keys[i - 1] as string) > (keys[i] as string)) return false;
  }
  return true;
}

function sortBy(entries: Tree, keys: readonly string[]): Tree {
  const order = entries.map((_, i) => i);
  order.sort((a, b) => {
    const x = keys[a] as string;
    const y = keys[b] as string;
    return x < y ? -1 : x > y ? 1 : a - b;
  });
  return order.map((i) => entries[i] as TreeEntry);
}

function canonicalLinks(tree: Tree): Tree {
  if (!tree.some((entry) => entry.type === 'hardlink')) return tree;
  const byPath = new Map<string, TreeEntry>();
  for (const entry of tree)
    if (entry.type !== 'whiteout' && entry.type !== 'opaque') byPath.set(entry.path, entry);
  const firstOf = new Map<TreeEntry, string>();
  let changed = false;
  const result = tree.map((entry) => {
    if (entry.type === 'whiteout' || entry.type === 'opaque' || entry.type === 'dir') return entry;
    const inode = entry.type === 'hardlink' ? inodeOf(entry, byPath) : entry;
    if (inode === undefined) return entry;
    const first = firstOf.get(inode);
    const wanted: TreeEntry =
      first === undefined
        ? entry === inode
          ? entry
          : { ...inode, path: entry.path }
        : linkTo(entry, inode, first);
    if (first === undefined) firstOf.set(inode, entry.path);
    changed ||= wanted !== entry;
    return wanted;
  });
  return changed ? result : tree;
}

function inodeOf(entry: TreeEntry, byPath: ReadonlyMap<string, TreeEntry>): TreeEntry | undefined {
  let at: TreeEntry | undefined = entry;
  for (let steps = 0; at?.type === 'hardlink'; steps++) {
    if (steps > byPath.size) return undefined;
    at = byPath.get(at.link ?? '');
  }
  return at;
}

function linkTo(entry: TreeEntry, inode: TreeEntry, target: string): TreeEntry {
  const { digest: _, devMajor: __, devMinor: ___, ...facts } = inode;
  const link: TreeEntry = { ...facts, path: entry.path, type: 'hardlink', size: 0, link: target };
  const canonical =
    entry.mtimeSec === link.mtimeSec &&
    entry.size === 0 &&
    entry.link === target &&
    entry.type === 'hardlink';
  return canonical && factsOf(entry) === factsOf(link) ? entry : link;
}
