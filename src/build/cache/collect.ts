import type { Digest } from '../../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import type { CacheConfig, CachedLayer, CachedRecord } from '../../remotecache/types.ts';
import { hiddenValue } from '../../solver/explain.ts';
import { RESULT_KEY } from '../../solver/solver.ts';
import type { CacheRecord, CacheStore } from '../../solver/types.ts';
import { createSlots } from '../../util/slots.ts';
import type { Engine } from '../engine.ts';
import type { PlacedCache } from './backends.ts';

/** As many as there are cores on a small machine: one layer alone is packed by several threads. */
const PACKED_AT_ONCE = 4;

/** The records of steps, with those of the results that they came from. Steps without a record are left out. */
export async function collectRecords(
  definitionKeys: readonly Digest[],
  keys: CacheStore,
): Promise<readonly CachedRecord[]> {
  const found = new Map<Digest, CachedRecord>();
  for (const key of definitionKeys) {
    const record = await keys.lookup(key);
    if (record === undefined) continue;
    found.set(key, forSharing(record));
    const from = record.ingredients.find(({ name }) => name === RESULT_KEY)?.value as Digest | undefined;
    const result = from === undefined ? undefined : await keys.lookup(from);
    if (result !== undefined) found.set(result.key, forSharing(result));
  }
  return [...found.values()];
}

/** Values of arguments stay here; a key says nothing that the record itself does not. */
function forSharing({ key, kind, layers, name, ingredients }: CacheRecord): CachedRecord {
  const shared = ingredients.map((each) =>
    kind === 'definition' ? each : { name: each.name, value: hiddenValue(each.value) },
  );
  return { key, kind, layers, name, ingredients: shared };
}

/** Those whose layers are all among the given ones. */
export function recordsWithin(
  records: readonly CachedRecord[],
  ids: Iterable<LayerId>,
): readonly CachedRecord[] {
  const inside = new Set([...ids, EMPTY_LAYER]);
  return records.filter(({ layers }) => layers.every((id) => inside.has(id)));
}

export interface PackOptions {
  readonly form: Pick<PlacedCache, 'compression' | 'compressionLevel' | 'forceCompression'>;
  readonly signal: AbortSignal;
}

/** The layers that steps made, as blobs; what is packed already is taken as it is, what is elsewhere stays there. */
export async function packLayers(
  records: readonly CachedRecord[],
  { layers, rows }: Pick<Engine, 'layers' | 'rows'>,
  { form, signal }: PackOptions,
): Promise<CacheConfig['layers']> {
  const { compression = 'gzip', compressionLevel: level, forceCompression: force = false } = form;
  const slots = createSlots(PACKED_AT_ONCE);
  const isMade = (id: LayerId): boolean => id !== EMPTY_LAYER && !id.startsWith('sha256:');
  const ids = [...new Set(records.flatMap((record) => record.layers.filter(isMade)))];
  const pack = async (id: LayerId): Promise<CachedLayer> => {
    const release = await slots.take(signal);
    try {
      const how = { compression, ...(level === undefined ? {} : { level }), mayBeRemote: true };
      const blob = await layers.blob(id, { ...how, ...(force ? { force } : { asIs: true }) }, signal);
      const row = rows.get(id);
      return {
        ...{ id, diffId: blob.diffId, descriptor: blob.descriptor },
        ...(row?.tarSize === undefined ? {} : { tarSize: row.tarSize }),
        ...(row === undefined ? {} : { createdMs: row.createdMs }),
      };
    } finally {
      release();
    }
  };
  const packing = ids.map(pack);
  await Promise.allSettled(packing);
  return Promise.all(packing);
}
