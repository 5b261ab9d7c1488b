import type { Digest } from '../image/types.ts';
import type { DownloadRows } from '../source/types.ts';
import type { Database } from './types.ts';

/** What is known of addresses that were fetched, in cache.db. The table is made by the first build that downloads. */
export function createDownloadRows(db: Database): DownloadRows {
  db.run(
    `CREATE TABLE IF NOT EXISTS downloads(
      url TEXT PRIMARY KEY, digest TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT, last_modified TEXT) WITHOUT ROWID`,
  );
  return {
    get(url) {
      const row = db.get('SELECT * FROM downloads WHERE url = ?', url);
      if (row === undefined) return undefined;
      return {
        url,
        digest: String(row.digest) as Digest,
        size: Number(row.size),
        etag: row.etag === null ? undefined : String(row.etag),
        lastModified: row.last_modified === null ? undefined : String(row.last_modified),
      };
    },
    put({ url, digest, size, etag = null, lastModified = null }) {
      db.run('INSERT OR REPLACE INTO downloads VALUES(?, ?, ?, ?, ?)', url, digest, size, etag, lastModified);
    },
  };
}
