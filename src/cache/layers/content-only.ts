import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerId } from '../../layer/layer-id.ts';
import type { BlobOptions, LayerStore, StoreRoot } from '../types.ts';
import type { LayerBlobs } from './layer-blobs.ts';

const PACKED: BlobOptions = { compression: 'gzip' };

/**
 * A layer store for a process that can give files to nobody. Layers are kept as blobs, which hold owners and devices
 * as text; a snapshot is a directory of this process alone that only lends the bytes of files, never the root of a RUN.
 */
export function createContentOnlyStore(
  store: LayerStore,
  blobs: Pick<LayerBlobs, 'read'>,
  root: Pick<StoreRoot, 'tempPath' | 'discard'>,
): LayerStore & { discardSnapshots(): void } {
  const snapshots = new Map<LayerId, Promise<string>>();
  const dirs: string[] = [];

  async function unpack(id: LayerId, signal: AbortSignal): Promise<string> {
    const { unpackLayer } = await import('../../layer/unpack-layer.ts');
    const dir = root.tempPath();
    dirs.push(dir);
    mkdirSync(dir, { mode: 0o700 });
    const dest = join(dir, 'fs');
    mkdirSync(dest);
    const how = { dest, opaqueXattr: 'user.overlay.opaque', contentOnly: true } as const;
    const unpacked = await blobs.read(
      id,
      (source, expected, either) => unpackLayer(source, { ...expected, ...how, signal: either }),
      signal,
    );
    if (unpacked === undefined) {
      const { path, diffId, descriptor } = await store.blob(id, PACKED, signal);
      const { digest, size } = descriptor;
      await unpackLayer({ path }, { digest, size, diffId, ...how, signal });
    }
    return dest;
  }

  return {
    ...store,
    // Nothing runs here.
    willMount: () => undefined,
    snapshot(id, signal) {
      let snapshot = snapshots.get(id);
      if (snapshot === undefined) {
        snapshot = unpack(id, signal);
        snapshots.set(id, snapshot);
        snapshot.catch(() => snapshots.delete(id));
      }
      return snapshot;
    },
    addFiles: (layer, signal) =>
      store.addFiles({ ...layer, snapshot: false, blob: layer.blob ?? PACKED }, signal),
    discardSnapshots() {
      for (const dir of dirs.splice(0)) root.discard(dir);
    },
  };
}
