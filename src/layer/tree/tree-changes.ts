import type { Tree, TreeEntry } from '../types.ts';
import { sortTree } from './tree.ts';
import { parentOf } from './tree-view.ts';

/**
 * The layer that shows `after` where it stands on `before`: what is new or another, the directories that lead to it, and
 * a whiteout for each thing that is gone. Undefined where one of the trees is no plain list of files: with hard links,
 * whose names would have to stay in one layer, or with marks of a layer.
 */
export function treeChanges(before: Tree, after: Tree): Tree | undefined {
  if (!before.every(isPlain) || !after.every(isPlain)) return undefined;
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const now = new Map(after.map((entry) => [entry.path, entry]));
  const changes = new Map<string, TreeEntry>();
  const addParents = (path: string): void => {
    for (let parent = parentOf(path); parent !== undefined; parent = parentOf(parent)) {
      const entry = now.get(parent);
      if (entry === undefined || changes.has(parent)) return;
      changes.set(parent, entry);
    }
  };
  for (const entry of after) {
    const was = old.get(entry.path);
    if (was !== undefined && isSameEntry(was, entry)) continue;
    changes.set(entry.path, entry);
    addParents(entry.path);
  }
  for (const { path } of before) {
    if (now.has(path)) continue;
    const parent = parentOf(path);
    // With its directory it is gone, or hidden by what took that one's place.
    if (parent !== undefined && parent !== '' && now.get(parent)?.type !== 'dir') continue;
    changes.set(path, whiteout(path));
    addParents(path);
  }
  return sortTree([...changes.values()]);
}

/** What `treeChanges` took apart, without a merge of the whole. Order: as `before`, then what is new. */
export function withChanges(before: Tree, changes: Tree): Tree {
  const changed = new Map(changes.map((entry) => [entry.path, entry]));
  const kept: TreeEntry[] = [];
  let hidden: string | undefined;
  for (const entry of before) {
    if (hidden !== undefined && entry.path.startsWith(hidden)) continue;
    hidden = undefined;
    const now = changed.get(entry.path);
    changed.delete(entry.path);
    // A directory stands right before its content.
    if (now !== undefined && entry.type === 'dir' && now.type !== 'dir') hidden = `${entry.path}/`;
    if (now?.type !== 'whiteout') kept.push(now ?? entry);
  }
  return [...kept, ...changed.values()];
}

function isPlain({ type }: TreeEntry): boolean {
  return type !== 'hardlink' && type !== 'whiteout' && type !== 'opaque';
}

/** Whether two entries are one in all their facts. A file whose content is not known may be any other. */
export function isSameEntry(a: TreeEntry, b: TreeEntry): boolean {
  return (
    a.type === b.type &&
    (a.type !== 'file' || (a.digest !== undefined && a.digest === b.digest)) &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.size === b.size &&
    a.mtimeSec === b.mtimeSec &&
    a.link === b.link &&
    a.devMajor === b.devMajor &&
    a.devMinor === b.devMinor &&
    JSON.stringify(a.xattrs ?? {}) === JSON.stringify(b.xattrs ?? {})
  );
}

function whiteout(path: string): TreeEntry {
  return { path, type: 'whiteout', mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 };
}
