import type { Digest } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import type { CacheRecord, CacheStore, Ingredient } from '../solver/types.ts';
import { createKeyLock, sweepLocks } from './key-lock.ts';
import type { Lease } from './lease.ts';
import type { Database, SqlValue } from './types.ts';

/** A hit is noted at most this often: a write for each look-up would cost more than the look-up. */
const USED_GRANULARITY_MS = 60 * 60 * 1000;

/** Earlier runs of a step that are worth looking at: branches that are built in turn, not a whole history. */
const PREVIOUS_LIMIT = 8;

/** Some builds of a large Dockerfile. */
const HISTORY_LIMIT = 500;

export interface KeyStoreOptions {
  /** Whether some form of the layer is there or can be fetched. Cheap: it is asked for every layer of a hit. */
  readonly layerAvailable: (id: LayerId) => boolean;
  /** Marks the layers of a record in one go. */
  readonly lease?: Pick<Lease, 'layers'>;
  readonly now?: () => number;
}

/** Cache records and the locks of their keys, kept in cache.db. */
export function createKeyStore(db: Database, options: KeyStoreOptions): CacheStore {
  const now = options.now ?? Date.now;
  const takeLock = createKeyLock(db);
  sweepLocks(db);
  return {
    async lookup(key) {
      const row = db.get('SELECT * FROM records WHERE key = ?', key);
      if (row === undefined) return undefined;
      const record = toRecord(row);
      options.lease?.layers(record.layers);
      // The record stays: a layer that is missing now is replaced by running the step, which saves it anew.
      if (!record.layers.every((id) => options.layerAvailable(id))) return undefined;
      const time = now();
      if (time - Number(row.used_ms) > USED_GRANULARITY_MS) {
        db.run('UPDATE records SET used_ms = ? WHERE key = ?', time, key);
      }
      return record;
    },
    async save(record) {
      const time = now();
      db.run(
        // REPLACE gives a new rowid, which orders records of one millisecond.
        `INSERT OR REPLACE INTO records(key, kind, layers, ingredients, name, created_ms, used_ms)
         VALUES(?, ?, ?, ?, ?, ?, ?)`,
        record.key,
        record.kind,
        JSON.stringify(record.layers),
        JSON.stringify(record.ingredients),
        record.name,
        time,
        time,
      );
    },
    lock: takeLock,
    previous: (name) =>
      db
        .all(
          `SELECT * FROM records WHERE name = ? AND kind = 'result'
           ORDER BY created_ms DESC, rowid DESC LIMIT ?`,
          name,
          PREVIOUS_LIMIT,
        )
        .map(toRecord),
    history: (ingredient) =>
      db
        .all(
          `SELECT * FROM records WHERE kind = 'result' AND instr(ingredients, ?) > 0
           ORDER BY created_ms DESC, rowid DESC LIMIT ?`,
          JSON.stringify({ name: ingredient.name, value: ingredient.value }),
          HISTORY_LIMIT,
        )
        .map(toRecord),
  };
}

function toRecord(row: Readonly<Record<string, SqlValue>>): CacheRecord {
  return {
    key: String(row.key) as Digest,
    kind: row.kind === 'result' ? 'result' : 'definition',
    layers: JSON.parse(String(row.layers)) as LayerId[],
    ingredients: JSON.parse(String(row.ingredients)) as Ingredient[],
    name: String(row.name),
  };
}
