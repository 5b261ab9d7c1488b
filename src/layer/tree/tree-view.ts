import type { Tree, TreeEntry } from '../types.ts';

/** Read access to a file system in tree form; paths as in TreeEntry, never followed through symlinks. */
export interface TreeView {
  /** The entry at a path; the root directory always exists. Hardlinks are given as what they link to. */
  get(path: string): TreeEntry | undefined;
  /** Names in a directory, sorted by bytes. */
  children(path: string): readonly string[];
  /** Which of the stacked layers (base = 0) an entry comes from; -1 for an implied root. */
  layerOf(path: string): number;
  /** Path of the entry that holds the content: differs from `path` for hardlinks. Equal in one layer = one inode. */
  inodePath(path: string): string;
}

const IMPLIED: TreeEntry = { path: '', type: 'dir', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSec: 0 };

interface LayerTable {
  readonly entries: ReadonlyMap<string, TreeEntry>;
  readonly children: ReadonlyMap<string, readonly string[]>;
  readonly opaque: ReadonlySet<string>;
}

/** The union of layers, base first, as an overlay would show it; nothing is merged until it is asked for. */
export function createTreeView(layers: readonly Tree[]): TreeView {
  const tables = layers.map(tableOf);

  function find(path: string): { entry: TreeEntry; layer: number; inode: string } | undefined {
    let implied = path === '';
    for (let i = tables.length - 1; i >= 0; i--) {
      const table = tables[i] as LayerTable;
      const entry = table.entries.get(path);
      if (entry !== undefined) {
        // What a higher layer has something in is a directory, whatever stood there before.
        if (entry.type === 'whiteout' || (implied && entry.type !== 'dir')) break;
        if (entry.type !== 'hardlink') return { entry, layer: i, inode: path };
        const inode = entry.link ?? '';
        const target = table.entries.get(inode);
        return target === undefined ? undefined : { entry: { ...target, path }, layer: i, inode };
      }
      // Archives may hold a file without the directories above it.
      implied ||= table.children.has(path);
      if (hidesBelow(table, path)) break;
    }
    return implied ? { entry: { ...IMPLIED, path }, layer: -1, inode: path } : undefined;
  }

  return {
    get: (path) => find(path)?.entry,
    layerOf: (path) => find(path)?.layer ?? -1,
    inodePath: (path) => find(path)?.inode ?? path,
    children(path) {
      const names = new Set<string>();
      const hidden = new Set<string>();
      for (let i = tables.length - 1; i >= 0; i--) {
        const table = tables[i] as LayerTable;
        for (const name of table.children.get(path) ?? []) {
          if (hidden.has(name)) continue;
          const full = path === '' ? name : `${path}/${name}`;
          if (table.entries.get(full)?.type === 'whiteout') hidden.add(name);
          else names.add(name);
        }
        const own = table.entries.get(path);
        if (table.opaque.has(path) || (own !== undefined && own.type !== 'dir')) break;
        if (hidesBelow(table, path)) break;
      }
      return [...names].sort(compareNames);
    },
  };
}

/** True when a layer hides what lower layers hold at `path`: an ancestor was removed, replaced or made opaque. */
function hidesBelow(table: LayerTable, path: string): boolean {
  for (let parent = parentOf(path); parent !== undefined; parent = parentOf(parent)) {
    if (table.opaque.has(parent)) return true;
    const entry = table.entries.get(parent);
    if (entry !== undefined && entry.type !== 'dir') return true;
  }
  return false;
}

const tableCache = new WeakMap<Tree, LayerTable>();

/** Tables are kept as long as their tree is: base images are looked into by every COPY of a build. */
function tableOf(tree: Tree): LayerTable {
  const known = tableCache.get(tree);
  if (known !== undefined) return known;
  const entries = new Map<string, TreeEntry>();
  const children = new Map<string, string[]>();
  const opaque = new Set<string>();
  const addChild = (path: string): void => {
    const parent = parentOf(path);
    if (parent === undefined) return;
    const name = parent === '' ? path : path.slice(parent.length + 1);
    const siblings = children.get(parent);
    if (siblings !== undefined) {
      siblings.push(name);
      return;
    }
    children.set(parent, [name]);
    if (!entries.has(parent)) addChild(parent);
  };
  for (const entry of tree) {
    if (entry.type === 'opaque') {
      opaque.add(entry.path);
      continue;
    }
    if (!entries.has(entry.path) && !children.has(entry.path)) addChild(entry.path);
    entries.set(entry.path, entry);
  }
  const table = { entries, children, opaque };
  tableCache.set(tree, table);
  return table;
}

/** Parent directory of a tree path; undefined for the root. */
export function parentOf(path: string): string | undefined {
  if (path === '') return undefined;
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

/** Last component of a tree path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Order of names by their bytes (UTF-16 order differs from it only for astral characters). */
function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export interface Resolved {
  /** Path with every symlink followed. */
  readonly path: string;
  /** Undefined where nothing exists there. */
  readonly entry: TreeEntry | undefined;
}

/** Linux' own limit on symlinks in one path (ELOOP). */
const MAX_LINKS = 255;

/**
 * Follows every symlink of a path inside the root: absolute targets start at the root, `..` never leaves it,
 * parts that do not exist are taken as they stand. `followLast: false` leaves a final symlink alone.
 */
export function resolvePath(
  view: Pick<TreeView, 'get'>,
  path: string,
  options: { followLast: boolean },
): Resolved | undefined {
  let rest = path.split('/').filter((part) => part !== '' && part !== '.');
  const done: string[] = [];
  let links = 0;
  while (rest.length > 0) {
    const [part = '', ...after] = rest;
    rest = after;
    if (part === '..') {
      done.pop();
      continue;
    }
    const here = [...done, part].join('/');
    const entry = view.get(here);
    if (entry?.type === 'symlink' && (rest.length > 0 || options.followLast)) {
      if (++links > MAX_LINKS) return undefined;
      const target = entry.link ?? '';
      if (target.startsWith('/')) done.length = 0;
      rest = [...target.split('/').filter((p) => p !== '' && p !== '.'), ...rest];
      continue;
    }
    done.push(part);
  }
  const full = done.join('/');
  return { path: full, entry: view.get(full) };
}
