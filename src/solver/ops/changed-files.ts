import type { Tree, TreeEntry } from '../../layer/types.ts';

/** More names than this are counted, not listed. */
const MAX_NAMED = 5;

/** Says which files differ between two versions of a layer, one a line, as paths in the image: times do not count. */
export function changedFiles(before: Tree, after: Tree): readonly string[] {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const changes: string[] = [];
  for (const entry of after) {
    const was = old.get(entry.path);
    old.delete(entry.path);
    if (was === undefined) changes.push(`file /${entry.path} is new`);
    else if (!sameFacts(was, entry)) changes.push(`file /${entry.path} changed`);
  }
  for (const path of old.keys()) changes.push(`file /${path} is gone`);
  const more = changes.length - MAX_NAMED;
  return more > 0 ? [...changes.slice(0, MAX_NAMED), `and ${more} more`] : changes;
}

/** A digest that is not known on one side says nothing. */
function sameFacts(a: TreeEntry, b: TreeEntry): boolean {
  const sameContent = a.digest === undefined || b.digest === undefined || a.digest === b.digest;
  return (
    sameContent &&
    a.type === b.type &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.size === b.size &&
    a.link === b.link
  );
}
