import { parentOf } from '../../layer/tree/tree-view.ts';
import type { Tree, TreeEntry } from '../../layer/types.ts';

/** More names than this are counted, not listed. */
const MAX_NAMED = 5;

/**
 * Says which files differ between two versions of a layer, one a line: times do not count, and of a directory that
 * comes or goes not every file is told.
 * @param nameOf what a path of the layer is called, where that is known: `src/a.ts` of the context
 */
export function changedFiles(
  before: Tree,
  after: Tree,
  nameOf: (path: string) => string | undefined = () => undefined,
): readonly string[] {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const fresh = new Map(after.map((entry) => [entry.path, entry]));
  const shown = ({ path, type }: TreeEntry): string =>
    `${nameOf(path) ?? `/${path}`}${type === 'dir' ? '/' : ''}`;
  const isWhole = (path: string, others: ReadonlyMap<string, TreeEntry>): boolean => {
    const parent = parentOf(path);
    return parent === undefined || parent === '' || others.has(parent);
  };
  const changes: string[] = [];
  for (const entry of after) {
    const was = old.get(entry.path);
    if (was !== undefined) changes.push(...change(was, entry, shown(entry)));
    else if (isWhole(entry.path, old)) changes.push(`${shown(entry)} added`);
  }
  for (const entry of before) {
    if (!fresh.has(entry.path) && isWhole(entry.path, fresh)) changes.push(`${shown(entry)} removed`);
  }
  const more = changes.length - MAX_NAMED;
  return more > 0 ? [...changes.slice(0, MAX_NAMED), `and ${more} more`] : changes;
}

/** A digest that is not known on one side says nothing. */
function change(a: TreeEntry, b: TreeEntry, name: string): readonly string[] {
  const sameContent = a.digest === undefined || b.digest === undefined || a.digest === b.digest;
  if (!sameContent || a.type !== b.type || a.size !== b.size || a.link !== b.link) return [`${name} changed`];
  if (a.mode !== b.mode) return [`${name}: mode ${a.mode.toString(8)} → ${b.mode.toString(8)}`];
  if (a.uid !== b.uid || a.gid !== b.gid) return [`${name}: owner ${a.uid}:${a.gid} → ${b.uid}:${b.gid}`];
  return [];
}
