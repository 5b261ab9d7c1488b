import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { diskBytes } from '../../util/disk-bytes.ts';
import { currentOwner, isAlive, ownedName } from '../../util/owner.ts';
import { type Engine, openEngine } from '../engine.ts';
import { takeMount } from './remove.ts';

/** A directory that steps mount with `--mount=type=cache`. */
export interface CacheMountDir {
  readonly id: string;
  /** Of the directory: one id may have several, where seed, owner or mode differ, or steps ran side by side. */
  readonly name: string;
  readonly path: string;
  /** Bytes on the disk. */
  readonly bytes: number;
  /** ms since the epoch. */
  readonly createdMs: number;
  readonly usedMs: number;
  /** Steps and shells that have it mounted now. */
  readonly users: number;
}

interface MountOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

type Store = Pick<Engine, 'root' | 'db'>;

/** Cache mounts of a store, the last used first. */
export async function listCacheMounts(
  root: string,
  options: MountOptions,
): Promise<readonly CacheMountDir[]> {
  await using engine = await openEngine({ root, ...options, access: 'look' });
  const rows = rowsOf(engine);
  return Promise.all(rows.map(async (row) => ({ ...row, bytes: await diskBytes(row.path) })));
}

/** Ids of cache mounts, without looking at what they hold. */
export async function cacheMountIds(root: string, options: MountOptions): Promise<readonly string[]> {
  await using engine = await openEngine({ root, ...options, access: 'look' });
  return [...new Set(rowsOf(engine).map(({ id }) => id))];
}

/**
 * Removes all directories of ids, or single ones by their names: all of them or none.
 * @returns the ids
 * @throws CACHE_MOUNT_NOT_FOUND, CACHE_MOUNT_IN_USE
 */
export async function removeCacheMounts(
  root: string,
  wanted: readonly string[] | 'all',
  options: MountOptions,
): Promise<readonly string[]> {
  await using engine = await openEngine({ root, ...options, access: 'change' });
  const removed = engine.db.transaction(() => {
    const ids =
      wanted === 'all' ? [...new Set(rowsOf(engine).map(({ id }) => id))].sort() : [...new Set(wanted)];
    const found = new Map(
      ids.flatMap((id) => findMounts(engine, id).map((mount) => [mount.name, mount] as const)),
    );
    const used = [...found.values()].find(({ users }) => users > 0);
    if (used !== undefined) {
      throw new OcibuildError(
        'CACHE_MOUNT_IN_USE',
        `Cannot remove the cache mount "${used.id}": ${used.users} ${used.users === 1 ? 'step uses' : 'steps use'} it`,
        { hint: 'wait for the build that uses it, or stop it', details: { id: used.id, users: used.users } },
      );
    }
    for (const name of found.keys()) takeMount(name, engine);
    return ids;
  });
  await engine.root.emptyTrash({ wait: true });
  return removed;
}

/** Where a cache mount is; of several the last used. @throws CACHE_MOUNT_NOT_FOUND */
export async function cacheMountPath(root: string, id: string, options: MountOptions): Promise<string> {
  await using engine = await openEngine({ root, ...options, access: 'look' });
  return latest(engine, id).path;
}

/**
 * Opens a shell in a cache mount, on this terminal. Steps that share it run beside it, those that want it alone wait.
 * @returns the exit code of the shell
 * @throws CACHE_MOUNT_NOT_FOUND
 */
export async function shellInCacheMount(root: string, id: string, options: MountOptions): Promise<number> {
  const { env } = options;
  await using engine = await openEngine({ root, ...options, access: 'change' });
  const { db } = engine;
  const owner = currentOwner();
  const token = ownedName(owner);
  const { name, path } = db.transaction(() => {
    const mount = latest(engine, id);
    db.run(
      "INSERT INTO cache_mount_users(name, pid, start_time, token, kind) VALUES(?, ?, ?, ?, 'shared')",
      mount.name,
      owner.pid,
      owner.startTime,
      token,
    );
    return mount;
  });
  try {
    return await new Promise<number>((done, fail) => {
      // The shell of another machine, where a container or sudo passes its variable on.
      const program = env.SHELL !== undefined && existsSync(env.SHELL) ? env.SHELL : '/bin/sh';
      const shell = spawn(program, [], { cwd: path, env: { ...env }, stdio: 'inherit' });
      shell.once('error', fail);
      shell.once('exit', (code, signal) => done(code ?? 128 + constants.signals[signal as NodeJS.Signals]));
    });
  } finally {
    db.run('DELETE FROM cache_mount_users WHERE token = ?', token);
    db.run('UPDATE cache_mounts SET used_ms = ? WHERE name = ?', Date.now(), name);
  }
}

function latest(store: Store, id: string): Omit<CacheMountDir, 'bytes'> {
  return findMounts(store, id)[0] as Omit<CacheMountDir, 'bytes'>;
}

/** At least one. */
function findMounts(store: Store, wanted: string): Omit<CacheMountDir, 'bytes'>[] {
  const rows = rowsOf(store);
  const found = rows.filter(({ id, name }) => id === wanted || name === wanted);
  if (found.length > 0) return found;
  const ids = [...new Set(rows.map(({ id }) => id))];
  throw new OcibuildError('CACHE_MOUNT_NOT_FOUND', `Cannot find the cache mount "${wanted}" in the store`, {
    hint:
      didYouMean(wanted, ids) ??
      (ids.length === 0
        ? 'the store has none: RUN --mount=type=cache makes them'
        : 'see `ocibuild cache ls`'),
    details: { id: wanted },
  });
}

function rowsOf({ root, db }: Store): Omit<CacheMountDir, 'bytes'>[] {
  const users = db
    .all('SELECT name, pid, start_time FROM cache_mount_users')
    .filter(({ pid, start_time }) => isAlive({ pid: Number(pid), startTime: String(start_time) }));
  return db
    .all('SELECT * FROM cache_mounts WHERE stale = 0 ORDER BY used_ms DESC, name')
    .map(({ id, name, created_ms, used_ms }) => ({
      ...{ id: String(id), name: String(name), path: join(root.mountsDir, String(name)) },
      ...{ createdMs: Number(created_ms), usedMs: Number(used_ms) },
      users: users.filter((user) => user.name === name).length,
    }));
}
