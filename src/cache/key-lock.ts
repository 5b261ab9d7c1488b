import { setTimeout as sleep } from 'node:timers/promises';
import { cancelledError, throwIfAborted } from '../errors/error.ts';
import { currentOwner, isAlive, ownedName } from '../util/owner.ts';
import type { Database } from './types.ts';

const FIRST_POLL_MS = 20;
const LAST_POLL_MS = 100;

/** Gives a function that waits until nobody else, in this process or another, holds a key. */
export function createKeyLock(db: Database): (key: string, signal: AbortSignal) => Promise<AsyncDisposable> {
  const owner = currentOwner();
  /** Callers of this process queue here, so that one of them polls instead of all. */
  const tails = new Map<string, Promise<void>>();

  const tryTake = (key: string, token: string): boolean => {
    // A read first: waiting processes must not fight for the write lock ten times a second.
    const seen = db.get('SELECT pid, start_time FROM locks WHERE key = ?', key);
    if (seen !== undefined && isAlive({ pid: Number(seen.pid), startTime: String(seen.start_time) }))
      return false;
    return db.transaction(() => {
      // Only the dead holder that was looked at is replaced: another process may have been quicker.
      if (seen !== undefined) {
        db.run(
          'DELETE FROM locks WHERE key = ? AND pid = ? AND start_time = ?',
          key,
          seen.pid ?? 0,
          seen.start_time ?? '',
        );
      }
      return (
        db.run(
          'INSERT OR IGNORE INTO locks(key, pid, start_time, token, taken_ms) VALUES(?, ?, ?, ?, ?)',
          key,
          owner.pid,
          owner.startTime,
          token,
          Date.now(),
        ) === 1
      );
    });
  };

  return async (key, signal) => {
    throwIfAborted(signal);
    const before = tails.get(key);
    const { promise: turnOver, resolve: endTurn } = Promise.withResolvers<void>();
    const tail = (before ?? Promise.resolve()).then(() => turnOver);
    tails.set(key, tail);
    void tail.then(() => {
      if (tails.get(key) === tail) tails.delete(key);
    });
    try {
      if (before !== undefined) await abortable(before, signal);
      const token = ownedName(owner);
      for (let wait = FIRST_POLL_MS; !tryTake(key, token); wait = Math.min(wait * 1.5, LAST_POLL_MS)) {
        await abortable(sleep(wait, undefined, { signal }), signal);
      }
      return {
        async [Symbol.asyncDispose]() {
          try {
            db.run('DELETE FROM locks WHERE key = ? AND token = ?', key, token);
          } finally {
            endTurn();
          }
        },
      };
    } catch (error) {
      endTurn();
      throw error;
    }
  };
}

/** Deletes the locks of dead processes; they would be taken over anyway, but their keys may never come again. */
export function sweepLocks(db: Database): void {
  for (const row of db.all('SELECT DISTINCT pid, start_time FROM locks')) {
    const [pid, startTime] = [Number(row.pid), String(row.start_time)];
    if (!isAlive({ pid, startTime })) {
      db.run('DELETE FROM locks WHERE pid = ? AND start_time = ?', pid, startTime);
    }
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(cancelledError(signal));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise
      .then(resolve, (error) => (signal.aborted ? abort() : reject(error)))
      .finally(() => signal.removeEventListener('abort', abort));
  });
}
