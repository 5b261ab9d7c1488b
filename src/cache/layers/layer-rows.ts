import type { Digest } from '../../image/types.ts';
import type { Database, LayerChange, LayerRow, LayerRows, SqlValue } from '../types.ts';

/** Field → column, and how its value is written. */
const COLUMNS: Readonly<Record<keyof LayerChange, string>> = {
  diffId: 'diff_id',
  blobDigest: 'blob_digest',
  blobSize: 'blob_size',
  mediaType: 'media_type',
  annotations: 'annotations',
  urls: 'urls',
  tarSize: 'tar_size',
  snapshot: 'snapshot',
  hasTree: 'has_tree',
  hasChunkIndex: 'has_chunk_index',
  origin: 'origin',
  usedMs: 'used_ms',
  snapshotBytes: 'snapshot_bytes',
  createdMs: 'created_ms',
};

/** Rows of the `layers` table. */
export function createLayerRows(db: Database, options: { readonly now?: () => number } = {}): LayerRows {
  const now = options.now ?? Date.now;
  const update = (id: string, change: LayerChange): boolean => {
    const fields = fieldsOf(change);
    if (fields.length === 0) return db.get('SELECT 1 FROM layers WHERE id = ?', id) !== undefined;
    const set = fields.map(([column]) => `${column} = ?`).join(', ');
    return db.run(`UPDATE layers SET ${set} WHERE id = ?`, ...fields.map(([, value]) => value), id) > 0;
  };
  return {
    get(id) {
      const row = db.get('SELECT * FROM layers WHERE id = ?', id);
      return row === undefined ? undefined : toLayer(row);
    },
    put(id, change) {
      const time = now();
      db.transaction(() => {
        db.run('INSERT OR IGNORE INTO layers(id, created_ms, used_ms) VALUES(?, ?, ?)', id, time, time);
        update(id, { usedMs: time, ...change });
      });
    },
    update,
    delete: (id) => db.run('DELETE FROM layers WHERE id = ?', id) > 0,
    list: () => db.all('SELECT * FROM layers ORDER BY id').map(toLayer),
    byDiffId: (diffId) =>
      db.all('SELECT * FROM layers WHERE diff_id = ? ORDER BY used_ms DESC, id', diffId).map(toLayer),
    byBlob: (digest) => db.all('SELECT * FROM layers WHERE blob_digest = ? ORDER BY id', digest).map(toLayer),
  };
}

function fieldsOf(change: LayerChange): [string, SqlValue][] {
  return (Object.keys(COLUMNS) as (keyof LayerChange)[]).flatMap((field): [string, SqlValue][] => {
    const value = change[field];
    if (value === undefined) return [];
    if (field === 'origin' || field === 'annotations' || field === 'urls')
      return [[COLUMNS[field], value === null ? null : JSON.stringify(value)]];
    if (field === 'hasTree' || field === 'hasChunkIndex') return [[COLUMNS[field], value === true ? 1 : 0]];
    return [[COLUMNS[field], value as string | number | null]];
  });
}

function toLayer(row: Readonly<Record<string, SqlValue>>): LayerRow {
  const text = (column: string): string | undefined =>
    typeof row[column] === 'string' ? row[column] : undefined;
  const number = (column: string): number | undefined =>
    typeof row[column] === 'number' ? row[column] : undefined;
  const json = (column: string): unknown => {
    const written = text(column);
    return written === undefined ? undefined : JSON.parse(written);
  };
  return defined({
    id: text('id') ?? '',
    diffId: text('diff_id') as Digest | undefined,
    blobDigest: text('blob_digest') as Digest | undefined,
    blobSize: number('blob_size'),
    mediaType: text('media_type'),
    annotations: json('annotations') as Readonly<Record<string, string>> | undefined,
    urls: json('urls') as readonly string[] | undefined,
    tarSize: number('tar_size'),
    snapshot: text('snapshot'),
    hasTree: row.has_tree === 1,
    hasChunkIndex: row.has_chunk_index === 1,
    origin: json('origin'),
    createdMs: number('created_ms') ?? 0,
    usedMs: number('used_ms') ?? 0,
    uses: number('uses') ?? 0,
    snapshotBytes: number('snapshot_bytes'),
  });
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
