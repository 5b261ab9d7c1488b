import { join } from 'node:path';
import type { LayerId } from '../../layer/layer-id.ts';
import type { LayerRows, StoreRoot } from '../types.ts';

/** Forgets a layer that no record names, and takes its files out of the store. */
export function dropLayer(
  id: LayerId,
  { root, rows }: { readonly root: Pick<StoreRoot, 'snapshotsDir' | 'discard'>; readonly rows: LayerRows },
): void {
  const row = rows.get(id);
  if (row === undefined) return;
  if (row.snapshot !== undefined) root.discard(join(root.snapshotsDir, row.snapshot));
  rows.delete(id);
}
