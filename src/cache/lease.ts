import { closeSync, lstatSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isOcibuildError } from '../errors/error.ts';
import type { Digest } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { currentOwner, isAlive, ownedName, ownerOf } from '../util/owner.ts';
import { readText } from '../util/read-text.ts';
import { listDir } from './list-dir.ts';
import { storeError } from './store-error.ts';
import type { Database, StoreRoot } from './types.ts';

/**
 * Keeps what a process works with from being pruned. Its file in `leases/` says when it began and lists what it has
 * looked up; whatever it makes is younger than that. A name is written down before the thing is looked at.
 *
 * No write to the database: a checkpoint at the end of a build that finds everything would cost four fsyncs. In place of
 * its lock there is a flag: a pruner sets it, then reads the leases; a lease is written, then the flag read. One of the
 * two sees the other, and who sees the flag waits for the pruner's transaction before it looks.
 */
export interface Lease {
  /** The time, for rows of what this process makes; never before its lease. */
  now(): number;
  /** To be kept, and others with the same content. */
  layers(ids: readonly LayerId[]): void;
  blob(digest: Digest): void;
  /** Nothing names a blob any more; who reads it now may go on. */
  unnamed(digest: Digest): void;
  /** Lets go of everything; the next use begins anew. A process that lives for days calls it between builds. */
  end(): void;
}

/** What living processes keep. */
export interface Leases {
  /** What was used at this time or later, ms since the epoch, is kept; infinite where nobody works. */
  readonly horizon: number;
  /** Layers and digests of blobs. */
  readonly names: ReadonlySet<string>;
}

/** Times of use are noted at most this often: they order what was not used for long. */
const USED_GRANULARITY_MS = 60 * 60 * 1000;
const FOLDER = 'leases';
const FLAG = 'pruning';

/** Of who only looks at a store: nothing is kept. */
export const NO_LEASE: Lease = {
  now: Date.now,
  layers: () => undefined,
  blob: () => undefined,
  unnamed: () => undefined,
  end: () => undefined,
};

export function createLease(root: Pick<StoreRoot, 'dir'>, db: Database): Lease {
  const folder = join(root.dir, FOLDER);
  const file = join(folder, ownedName(currentOwner()));
  const seen = new Set<string>();
  let open: { readonly fd: number; readonly startedMs: number } | undefined;

  const begin = (): { readonly fd: number; readonly startedMs: number } => {
    if (open !== undefined) return open;
    const startedMs = Date.now();
    try {
      const fd = openLease(file);
      writeSync(fd, `${startedMs}\n`);
      open = { fd, startedMs };
    } catch (error) {
      throw storeError(error, file);
    }
    waitForPruner();
    return open;
  };
  // A clock that was set back must not make new things look old.
  const now = (): number => Math.max(begin().startedMs, Date.now());

  function waitForPruner(): void {
    if (lstatSync(join(folder, FLAG), { throwIfNoEntry: false }) !== undefined)
      db.transaction(() => undefined);
  }

  const list = (names: readonly string[]): boolean => {
    const fresh = names.filter((name) => !seen.has(name));
    if (fresh.length === 0) return false;
    const { fd } = begin();
    try {
      writeSync(fd, `${fresh.join('\n')}\n`);
    } catch (error) {
      throw storeError(error, file);
    }
    for (const name of fresh) seen.add(name);
    waitForPruner();
    return true;
  };

  return {
    now,
    layers(ids) {
      unlessFull(() => {
        if (list(ids)) noteLayers(db, ids, now());
      });
    },
    blob(digest) {
      unlessFull(() => {
        if (list([digest])) noteBlob(db, digest, { now: now(), granularityMs: USED_GRANULARITY_MS });
      });
    },
    unnamed: (digest) => unlessFull(() => noteBlob(db, digest, { now: now(), granularityMs: 0 })),
    end() {
      seen.clear();
      if (open === undefined) return;
      closeSync(open.fd);
      open = undefined;
      rmSync(file, { force: true });
    },
  };
}

/** Reads what must stay; drops leases of dead processes. To be called between `beginPruning` and its end, in the
 * transaction that removes things. */
export function readLeases(root: Pick<StoreRoot, 'dir'>): Leases {
  const folder = join(root.dir, FOLDER);
  const names = new Set<string>();
  let horizon = Number.POSITIVE_INFINITY;
  for (const name of listDir(folder)) {
    const owner = ownerOf(name);
    if (owner === undefined) continue;
    const path = join(folder, name);
    if (!isAlive(owner)) {
      try {
        rmSync(path, { force: true });
      } catch {
        // In a store that is only looked at.
      }
      continue;
    }
    const text = readText(path);
    if (text === undefined) continue;
    const [started = '', ...listed] = text.split('\n');
    // One that has just been made says nothing yet, and nothing that it makes is there.
    horizon = Math.min(horizon, started === '' ? Date.now() : Number(started));
    for (const each of listed) if (each !== '') names.add(each);
  }
  return { horizon, names };
}

/** Makes every lease that is written from now on wait for the transactions of a pruner. One pruner at a time. */
export function beginPruning(root: Pick<StoreRoot, 'dir'>): Disposable {
  const flag = join(root.dir, FOLDER, FLAG);
  mkdirSync(dirname(flag), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(flag, '');
  } catch (error) {
    throw storeError(error, flag);
  }
  return { [Symbol.dispose]: () => rmSync(flag, { force: true }) };
}

function openLease(file: string): number {
  try {
    return openSync(file, 'ax', 0o600);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    return openSync(file, 'ax', 0o600);
  }
}

function noteLayers(db: Database, ids: readonly LayerId[], now: number): void {
  const old = ids.filter((id) => {
    const row = db.get('SELECT used_ms FROM layers WHERE id = ?', id);
    return row !== undefined && now - Number(row.used_ms) > USED_GRANULARITY_MS;
  });
  if (old.length === 0) return;
  db.transaction(() => {
    for (const id of old)
      db.run('UPDATE layers SET used_ms = max(used_ms, ?), uses = uses + 1 WHERE id = ?', now, id);
  });
}

function noteBlob(
  db: Database,
  digest: Digest,
  { now, granularityMs }: { readonly now: number; readonly granularityMs: number },
): void {
  const row = db.get('SELECT used_ms FROM blob_uses WHERE digest = ?', digest);
  if (row !== undefined && now - Number(row.used_ms) <= granularityMs) return;
  db.run(
    `INSERT INTO blob_uses(digest, used_ms, uses) VALUES(?, ?, 1)
     ON CONFLICT(digest) DO UPDATE SET used_ms = max(used_ms, excluded.used_ms), uses = uses + 1`,
    digest,
    now,
  );
}

/** Reading goes on where nothing can be written any more; who has to write is told so there. */
function unlessFull(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!isOcibuildError(error) || error.code !== 'DISK_FULL') throw error;
  }
}
