import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { listDir } from '../../cache/list-dir.ts';
import type { LayerRow } from '../../cache/types.ts';
import { diskBytes } from '../../util/disk-bytes.ts';
import { layerName } from './blob-items.ts';
import { GRACE_MS, type Holds, isNamed, isUsed, type SurveyContext } from './holds.ts';
import type { StoreItem } from './types.ts';

/** Trees and chunk indexes of a layer, beside each other. */
export const TREE_FILES: readonly string[] = ['.json', '.chunks.json'];

/** Snapshots and trees, and layers of which nothing is here. */
export async function layerItems(context: SurveyContext): Promise<StoreItem[]> {
  const { rows, content, holds } = context;
  const items: StoreItem[] = [];
  const all = rows.list();
  const snapshots = new Set(listDir(context.root.snapshotsDir));
  const trees = new Set(listDir(context.root.treesDir));
  const byDiffId = Map.groupBy(all, ({ diffId }) => diffId);
  for (const row of all) {
    const alike = row.diffId === undefined ? [row] : (byDiffId.get(row.diffId) ?? [row]);
    const namesIn = (names: Holds['images']): string[] =>
      alike.flatMap(({ blobDigest }) => (blobDigest === undefined ? [] : (names.get(blobDigest) ?? [])));
    const images = namesIn(holds.images);
    const inUse = isUsed(row, context);
    const about = {
      ...{
        type: 'regular' as const,
        inUse,
        reclaimable: !inUse,
        images: [...new Set([...images, ...namesIn(holds.fetched)])],
        shared: images.length > 0,
        mutable: false,
      },
      ...{ createdMs: row.createdMs, usedMs: row.usedMs, uses: row.uses },
      description: layerName(alike, context) ?? 'layer',
      layer: row.id,
    } as const;
    const snapshot = row.snapshot !== undefined && snapshots.delete(row.snapshot) ? row.snapshot : undefined;
    if (snapshot !== undefined) {
      const bytes = await snapshotBytes(row, snapshot, context);
      const target = { kind: 'snapshot', layer: row.id } as const;
      items.push({ ...about, id: `${row.id}:snapshot`, form: 'snapshot', bytes, target });
    }
    const files = TREE_FILES.map((end) => `${treeStem(row.id)}${end}`).filter((name) => trees.delete(name));
    if (files.length > 0) {
      const sizes = files.map((name) => blocksOf(join(context.root.treesDir, name)));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      const target = { kind: 'tree', layer: row.id } as const;
      items.push({ ...about, id: `${row.id}:tree`, form: 'tree', bytes, target });
    }
    const hasBlob = row.blobDigest !== undefined && content.peek(row.blobDigest) !== undefined;
    const isPinned = row.blobDigest !== undefined && isNamed(row.blobDigest, holds);
    if (snapshot === undefined && files.length === 0 && !hasBlob && !isPinned)
      items.push({ ...about, id: row.id, bytes: 0, target: { kind: 'row', layer: row.id } });
  }
  items.push(...(await strays([...snapshots], context)), ...treeFiles([...trees], context));
  return items;
}

/** Ids as file names. */
export function treeStem(id: string): string {
  return id.replace(':', '-');
}

/** A snapshot never changes, so it is measured once. */
async function snapshotBytes(row: LayerRow, name: string, { root, rows }: SurveyContext): Promise<number> {
  if (row.snapshotBytes !== undefined) return row.snapshotBytes;
  const snapshotSize = await diskBytes(join(root.snapshotsDir, name));
  try {
    rows.update(row.id, { snapshotBytes: snapshotSize });
  } catch {
    // A full disk: it is measured again the next time.
  }
  return snapshotSize;
}

/** Snapshots that no row knows: a process died between the two. */
async function strays(names: readonly string[], context: SurveyContext): Promise<StoreItem[]> {
  const found: StoreItem[] = [];
  for (const name of names) {
    const path = join(context.root.snapshotsDir, name);
    const item = fileItem(path, context);
    if (item === undefined) continue;
    const description = 'snapshot that a killed process left';
    found.push({
      ...item,
      ...{ type: 'regular', form: 'snapshot', description },
      bytes: await diskBytes(path),
    });
  }
  return found;
}

/** What else is in `trees/`: what was seen of contexts, notes on conversions, trees that no row knows. */
function treeFiles(names: readonly string[], context: SurveyContext): StoreItem[] {
  return names.flatMap((name): StoreItem[] => {
    const item = fileItem(join(context.root.treesDir, name), context);
    if (item === undefined) return [];
    // Who reads these can do without.
    const free = { ...item, inUse: false, reclaimable: true };
    if (name.endsWith('.stat'))
      return [
        { ...free, type: 'source.local', description: 'what was seen of a build context', mutable: true },
      ];
    if (name.endsWith('.estargz.json')) return [{ ...free, description: 'notes on eStargz layers' }];
    return [{ ...item, form: 'tree', type: 'regular', description: 'tree that a killed process left' }];
  });
}

/** A file or directory of which the store knows nothing. */
export function fileItem(path: string, { root, nowMs }: SurveyContext): StoreItem | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const inUse = nowMs - stat.ctimeMs < GRACE_MS;
  return {
    ...{ id: path.slice(root.dir.length + 1), type: 'internal', description: '', bytes: stat.blocks * 512 },
    ...{ shared: false, mutable: false, inUse, reclaimable: !inUse, images: [], uses: 0 },
    ...{ createdMs: stat.birthtimeMs || stat.ctimeMs, usedMs: Math.max(stat.atimeMs, stat.mtimeMs) },
    target: { kind: 'file', path },
  };
}

function blocksOf(path: string): number {
  return (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
}
