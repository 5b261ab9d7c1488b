import { join } from 'node:path';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import { readText } from '../../util/read-text.ts';
import type { LayerRows, StoreRoot } from '../types.ts';

/**
 * Snapshots hold owners as the kernel's ids, which another user namespace, or root, would read as other owners. Drops
 * all of them when they were made under other id maps: a store that root and a user share, or a new range in
 * /etc/subuid. Layers that have no other form are then made again.
 */
export function dropForeignSnapshots(
  root: Pick<StoreRoot, 'dir' | 'snapshotsDir' | 'discard' | 'tempPath'>,
  rows: Pick<LayerRows, 'list' | 'update'>,
  idMap: string,
): void {
  const file = join(root.dir, 'id-map');
  const known = readText(file);
  if (known === idMap) return;
  if (known !== undefined) {
    for (const { id, snapshot } of rows.list()) {
      if (snapshot === undefined) continue;
      root.discard(join(root.snapshotsDir, snapshot));
      rows.update(id, { snapshot: null });
    }
  }
  writeFileAtomic(file, Buffer.from(idMap), { temp: root.tempPath() });
}

/** The id maps of this process in one text. @see user_namespaces(7) */
export function currentIdMap(): string {
  return ['uid', 'gid']
    .map((kind) => (readText(`/proc/self/${kind}_map`) ?? '').trim().replaceAll(/[ \t]+/g, ' '))
    .join('\n\n');
}
