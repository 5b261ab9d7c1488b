import { isOcibuildError } from '../errors/error.ts';
import type { Digest } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import { currentOwner, isAlive, ownedName } from '../util/owner.ts';
import type { Database } from './types.ts';

/**
 * Keeps what a process works with from being pruned. It says when it began, and marks what it looks up or makes as used:
 * nothing goes that was used since the oldest lease began. The mark is written before the thing is looked at, so whoever
 * comes after a pruner finds it gone, and nobody finds it first and loses it then.
 */
export interface Lease {
  /** The time, for rows of what this process makes; never before its lease. */
  now(): number;
  /** Marks layers, and others with the same content. */
  layers(ids: readonly LayerId[]): void;
  blob(digest: Digest): void;
  /** Lets go of everything; the next use begins anew. A process that lives for days calls it between builds. */
  end(): void;
}

export function createLease(db: Database): Lease {
  const owner = currentOwner();
  const token = ownedName(owner);
  /** What this lease has marked. */
  const seen = new Set<string>();
  let startedMs: number | undefined;

  const begin = (): number => {
    if (startedMs === undefined) {
      const now = Date.now();
      db.run(
        'INSERT OR REPLACE INTO leases(token, pid, start_time, started_ms) VALUES(?, ?, ?, ?)',
        token,
        owner.pid,
        owner.startTime,
        now,
      );
      startedMs = now;
    }
    // A clock that was set back must not make new things look old.
    return Math.max(Date.now(), startedMs);
  };

  return {
    now: begin,
    layers(ids) {
      const fresh = ids.filter((id) => !seen.has(id));
      if (fresh.length === 0) return;
      unlessFull(() => {
        const now = begin();
        const marked = db.transaction(() => fresh.filter((id) => markLayer(db, id, now)));
        for (const id of marked) seen.add(id);
      });
    },
    blob(digest) {
      if (seen.has(digest)) return;
      unlessFull(() => {
        db.run(
          `INSERT INTO blob_uses(digest, used_ms, uses) VALUES(?, ?, 1)
           ON CONFLICT(digest) DO UPDATE SET used_ms = max(used_ms, excluded.used_ms), uses = uses + 1`,
          digest,
          begin(),
        );
        seen.add(digest);
      });
    },
    end() {
      seen.clear();
      if (startedMs === undefined) return;
      startedMs = undefined;
      unlessFull(() => db.run('DELETE FROM leases WHERE token = ?', token));
    },
  };
}

/**
 * What was used at this time or later is in use: the beginning of the oldest lease of a living process. Without any,
 * nothing is. To be called in the transaction that removes things.
 */
export function leaseHorizon(db: Database): number {
  let horizon = Number.POSITIVE_INFINITY;
  for (const row of db.all('SELECT token, pid, start_time, started_ms FROM leases')) {
    const owner = { pid: Number(row.pid), startTime: String(row.start_time) };
    if (isAlive(owner)) horizon = Math.min(horizon, Number(row.started_ms));
    else db.run('DELETE FROM leases WHERE token = ?', row.token ?? '');
  }
  return horizon;
}

/** False where there is no such row. */
function markLayer(db: Database, id: LayerId, now: number): boolean {
  const changed = db.run(
    'UPDATE layers SET used_ms = max(used_ms, ?), uses = uses + 1 WHERE id = ?',
    now,
    id,
  );
  if (changed === 0) return false;
  db.run(
    `UPDATE layers SET used_ms = max(used_ms, ?)
     WHERE diff_id = (SELECT diff_id FROM layers WHERE id = ?) AND id <> ?`,
    now,
    id,
    id,
  );
  return true;
}

/** Reading goes on where nothing can be written any more; who has to write is told so there. */
function unlessFull(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!isOcibuildError(error) || error.code !== 'DISK_FULL') throw error;
  }
}
