import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelledError, throwIfAborted } from '../errors/error.ts';
import { currentOwner, isAlive, ownedName } from '../util/owner.ts';
import type {
  CacheMountLease,
  CacheMountOptions,
  CacheMounts,
  CacheMountWish,
  Database,
  StoreRoot,
} from './types.ts';

const FIRST_POLL_MS = 20;
const LAST_POLL_MS = 100;

/** How a process uses a directory. `filling`: it is being made, and will be shared. */
type Use = 'shared' | 'alone' | 'filling';

interface Taken {
  readonly wish: CacheMountWish;
  readonly name: string;
  readonly isNew: boolean;
}

/** Cache mounts of one build: directories `ROOT/mounts/NAME` with rows in cache.db, used by several processes. */
export function createCacheMounts(root: Pick<StoreRoot, 'mountsDir' | 'discard'>, db: Database): CacheMounts {
  const owner = currentOwner();
  /** Ids that this build has emptied: its later steps go on with what its earlier ones left. */
  const emptied = new Set<string>();
  const dirOf = (name: string): string => join(root.mountsDir, name);

  /** Uses of living processes; those of dead ones are dropped. */
  const usesOf = (name: string): Use[] =>
    db
      .all('SELECT pid, start_time, kind FROM cache_mount_users WHERE name = ?', name)
      .filter(({ pid, start_time }) => {
        if (isAlive({ pid: Number(pid), startTime: String(start_time) })) return true;
        db.run(
          'DELETE FROM cache_mount_users WHERE name = ? AND pid = ? AND start_time = ?',
          name,
          pid ?? 0,
          start_time ?? '',
        );
        return false;
      })
      .map(({ kind }) => String(kind) as Use);

  /** Drops rows that nobody uses; gives their names. */
  const drop = (names: readonly string[]): string[] =>
    names.filter(
      (name) => usesOf(name).length === 0 && db.run('DELETE FROM cache_mounts WHERE name = ?', name) === 1,
    );

  const namesWhere = (condition: string, ...params: readonly string[]): string[] =>
    db
      .all(`SELECT name FROM cache_mounts WHERE ${condition} ORDER BY created_ms, name`, ...params)
      .map(({ name }) => String(name));

  /** What is in use goes when its last user lets go of it; no step finds it any more. */
  const empty = (id: string): void => {
    const gone = db.transaction(() => {
      const free = drop(namesWhere('id = ?', id));
      db.run('UPDATE cache_mounts SET stale = 1 WHERE id = ?', id);
      return free;
    });
    for (const name of gone) root.discard(dirOf(name));
  };

  /** A directory for one wish; undefined where it has to wait. */
  const tryOne = (wish: CacheMountWish, token: string): Taken | undefined => {
    const { id, base, sharing } = wish;
    const names = namesWhere('stale = 0 AND id = ? AND base = ?', id, base);
    const uses = names.map(usesOf);
    const fits = (kinds: readonly Use[]): boolean =>
      kinds.length === 0 || (sharing === 'shared' && kinds.every((kind) => kind === 'shared'));
    const found = names[uses.findIndex(fits)];
    const mustWait =
      sharing === 'locked' ? names.length > 0 : sharing === 'shared' && uses.flat().includes('filling');
    if (found === undefined && mustWait) return undefined;
    const name = found ?? ownedName(owner);
    const now = Date.now();
    if (found === undefined)
      db.run(
        'INSERT INTO cache_mounts(name, id, base, created_ms, used_ms) VALUES(?, ?, ?, ?, ?)',
        name,
        id,
        base,
        now,
        now,
      );
    const row = db.get('SELECT ready FROM cache_mounts WHERE name = ?', name);
    // Cleared by hand: then it is made once more.
    const isNew = row?.ready !== 1 || !existsSync(dirOf(name));
    const kind: Use = sharing !== 'shared' ? 'alone' : isNew ? 'filling' : 'shared';
    db.run(
      'INSERT INTO cache_mount_users(name, pid, start_time, token, kind) VALUES(?, ?, ?, ?, ?)',
      name,
      owner.pid,
      owner.startTime,
      token,
      kind,
    );
    return { wish, name, isNew };
  };

  const tryAll = (wishes: readonly CacheMountWish[], token: string): Taken[] | undefined =>
    db.transaction(() => {
      const taken: Taken[] = [];
      for (const wish of wishes) {
        const one = tryOne(wish, token);
        if (one === undefined) {
          db.run('DELETE FROM cache_mount_users WHERE token = ?', token);
          return undefined;
        }
        taken.push(one);
      }
      return taken;
    });

  /** What nobody uses and nobody will find, or was never finished. */
  const clear = (): void => {
    const gone = db.transaction(() => drop(namesWhere('stale = 1 OR ready = 0')));
    for (const name of gone) root.discard(dirOf(name));
  };

  const release = (taken: readonly Taken[], token: string): void => {
    db.transaction(() => {
      db.run('DELETE FROM cache_mount_users WHERE token = ?', token);
      for (const { name } of taken)
        db.run('UPDATE cache_mounts SET used_ms = ? WHERE name = ?', Date.now(), name);
    });
    clear();
  };

  const makeNew = async ({ wish, name }: Taken, options: CacheMountOptions): Promise<void> => {
    // A dead process may have left half of it.
    root.discard(dirOf(name));
    mkdirSync(dirOf(name));
    await options.fill(wish, dirOf(name));
    db.transaction(() => {
      db.run('UPDATE cache_mounts SET ready = 1 WHERE name = ?', name);
      db.run("UPDATE cache_mount_users SET kind = 'shared' WHERE name = ? AND kind = 'filling'", name);
    });
  };

  const left = db.all('SELECT DISTINCT name FROM cache_mount_users').map(({ name }) => String(name));
  if (left.some((name) => usesOf(name).length === 0)) clear();

  return {
    async acquire(wishes, options) {
      const { signal } = options;
      throwIfAborted(signal);
      const unique = wishes.filter((wish, i) => wishes.findIndex((other) => isSame(wish, other)) === i);
      if (options.anew) {
        for (const { id } of unique) {
          if (!emptied.has(id)) empty(id);
          emptied.add(id);
        }
      }
      const token = ownedName(owner);
      let taken = tryAll(unique, token);
      for (let wait = FIRST_POLL_MS; taken === undefined; wait = Math.min(wait * 1.5, LAST_POLL_MS)) {
        await sleep(wait, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) throw cancelledError(signal);
        taken = tryAll(unique, token);
      }
      const mine = taken;
      try {
        for (const one of mine) if (one.isNew) await makeNew(one, options);
      } catch (error) {
        release(mine, token);
        throw error;
      }
      const dirs = wishes.map((wish) => dirOf(mine.find((one) => isSame(one.wish, wish))?.name ?? ''));
      let held = true;
      return {
        dirs,
        release() {
          if (held) release(mine, token);
          held = false;
        },
      } satisfies CacheMountLease;
    },
  };
}

function isSame(a: CacheMountWish, b: CacheMountWish): boolean {
  return a.id === b.id && a.base === b.base;
}
