import type { TreeEntry } from '../../layer/types.ts';
import type { CopyAttributes, PlanOwner } from './file-plan.ts';

/**
 * An entry where a copy puts it: only what a layer holds of it. One of a context knows more, which takes time to copy
 * and to write down.
 */
export function copiedEntry(
  entry: TreeEntry,
  path: string,
  { mode, owner }: Pick<CopyAttributes, 'mode' | 'owner'>,
): TreeEntry {
  const { type, size, mtimeSec, link, xattrs, devMajor, devMinor, digest } = entry;
  const { uid, gid } = owner ?? entry;
  const copied: { -readonly [name in keyof TreeEntry]: TreeEntry[name] } = {
    path,
    type,
    mode: changedMode(mode, entry),
    uid,
    gid,
    size,
    mtimeSec,
  };
  if (link !== undefined) copied.link = link;
  if (xattrs !== undefined) copied.xattrs = xattrs;
  if (devMajor !== undefined) copied.devMajor = devMajor;
  if (devMinor !== undefined) copied.devMinor = devMinor;
  if (digest !== undefined) copied.digest = digest;
  return copied;
}

function changedMode(mode: CopyAttributes['mode'], entry: TreeEntry): number {
  if (mode === undefined || entry.type === 'symlink') return entry.mode;
  return typeof mode === 'number' ? mode : mode(entry.mode, entry.type === 'dir');
}

export function directoryEntry(
  path: string,
  mode: number,
  owner: PlanOwner | undefined,
  mtimeSec: number,
): TreeEntry {
  return { path, type: 'dir', mode, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0, size: 0, mtimeSec };
}
