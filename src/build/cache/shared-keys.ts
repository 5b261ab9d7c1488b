import type { LayerRows, LayerStore } from '../../cache/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import type { CacheRecord, CacheStore } from '../../solver/types.ts';
import type { ImportedCaches } from './imported-caches.ts';

export interface SharedKeysDeps {
  readonly keys: CacheStore;
  readonly rows: LayerRows;
  readonly layers: Pick<LayerStore, 'available'>;
  readonly imported: ImportedCaches;
}

/**
 * The store's records, then those of imported caches: what is found there becomes the store's own, its layers with a
 * place to be fetched from. No blob moves.
 */
export function createSharedKeys({ keys, rows, layers, imported }: SharedKeysDeps): CacheStore {
  /** False where the layer cannot be had, or where another one has its name here. */
  const adopt = (id: LayerId): boolean => {
    if (layers.available(id)) return true;
    const found = imported.layer(id);
    const known = rows.get(id);
    if (found === undefined) return false;
    const { diffId, descriptor, tarSize, createdMs } = found.what;
    if (known?.diffId !== undefined && known.diffId !== diffId) return false;
    rows.put(id, {
      diffId,
      blobDigest: descriptor.digest,
      blobSize: descriptor.size,
      mediaType: descriptor.mediaType,
      annotations: descriptor.annotations ?? null,
      origin: found.origin,
      ...(tarSize === undefined ? {} : { tarSize }),
      ...(createdMs === undefined ? {} : { createdMs }),
    });
    return true;
  };
  const isThere = (id: LayerId): boolean =>
    id === EMPTY_LAYER || layers.available(id) || imported.layer(id) !== undefined;
  return {
    ...keys,
    async lookup(key) {
      const own = await keys.lookup(key);
      if (own !== undefined) return own;
      await imported.ready();
      const record: CacheRecord | undefined = imported.record(key);
      // All of them first: a record that cannot be used leaves no row behind.
      if (record === undefined || !record.layers.every(isThere) || !record.layers.every(adopt)) {
        return undefined;
      }
      await keys.save(record);
      return record;
    },
    previous: (name) => [...keys.previous(name), ...imported.previous(name)],
    // Whoever names a cache says that it is one of the same builds.
    history: (ingredient) => [...(keys.history?.(ingredient) ?? []), ...imported.results()],
  };
}
