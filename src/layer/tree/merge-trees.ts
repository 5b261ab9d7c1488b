import type { Tree, TreeEntry } from '../types.ts';
import { sortTree } from './tree.ts';

/**
 * The file system that stacked layers show, base first: whiteouts and opaque marks are applied and gone, parents that
 * no layer lists are left out. Canonical order.
 */
export function mergeTrees(trees: readonly Tree[]): Tree {
  const root: Node = { children: new Map() };
  for (const tree of trees) {
    // image-spec layer.md §Whiteouts: they act on lower layers only, wherever they stand, so they go first.
    for (const entry of tree) if (entry.type === 'whiteout' || entry.type === 'opaque') hide(root, entry);
    const own = new Map<string, TreeEntry>();
    for (const entry of tree) {
      if (entry.type === 'whiteout' || entry.type === 'opaque') continue;
      own.set(entry.path, entry);
      place(root, entry, own);
    }
  }
  const merged: Located[] = [];
  collect(root, merged);
  return sortTree(withLinks(merged));
}

interface Node {
  entry?: TreeEntry;
  /** The same object for every path of one inode. */
  inode?: TreeEntry;
  children: Map<string, Node>;
}

interface Located {
  readonly entry: TreeEntry;
  readonly inode: TreeEntry;
}

function hide(root: Node, { path, type }: TreeEntry): void {
  const parts = path === '' ? [] : path.split('/');
  const last = type === 'whiteout' ? parts.pop() : undefined;
  let node: Node | undefined = root;
  for (const part of parts) node = node?.children.get(part);
  if (node === undefined) return;
  if (last === undefined) node.children.clear();
  else node.children.delete(last);
}

function place(root: Node, entry: TreeEntry, own: ReadonlyMap<string, TreeEntry>): void {
  let node = root;
  if (entry.path !== '') {
    for (const part of entry.path.split('/')) {
      // A parent that this layer needs as a directory and a lower one has as something else is replaced.
      if (node.entry !== undefined && node.entry.type !== 'dir') delete node.entry;
      let next = node.children.get(part);
      if (next === undefined) {
        next = { children: new Map() };
        node.children.set(part, next);
      }
      node = next;
    }
  }
  node.entry = entry;
  node.inode = inodeOf(entry, own);
  if (entry.type !== 'dir') node.children.clear();
}

function inodeOf(entry: TreeEntry, own: ReadonlyMap<string, TreeEntry>): TreeEntry {
  let at = entry;
  for (let steps = 0; at.type === 'hardlink' && steps <= own.size; steps++)
    at = own.get(at.link ?? '') ?? entry;
  return at;
}

function collect(node: Node, out: Located[]): void {
  if (node.entry !== undefined) out.push({ entry: node.entry, inode: node.inode ?? node.entry });
  for (const child of node.children.values()) collect(child, out);
}

/** A link's target may have been replaced or removed by a higher layer: the inode lives on at its other paths. */
function withLinks(located: readonly Located[]): TreeEntry[] {
  const firstOf = new Map<TreeEntry, string>();
  return located.map(({ entry, inode }) => {
    if (entry.type === 'dir') return entry;
    const first = firstOf.get(inode);
    if (first === undefined) {
      firstOf.set(inode, entry.path);
      return inode === entry ? entry : { ...inode, path: entry.path };
    }
    const { digest: _, devMajor: __, devMinor: ___, ...facts } = inode;
    return { ...facts, path: entry.path, type: 'hardlink', size: 0, link: first };
  });
}
