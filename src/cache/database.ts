import { closeSync, openSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { storeError } from './store-error.ts';
import type { Database, SqlValue } from './types.ts';

/** What this version writes; it reads those before it as well. */
export const SCHEMA_VERSION = 5;
const SCHEMA = `
CREATE TABLE records(
  key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, layers TEXT NOT NULL, ingredients TEXT NOT NULL,
  name TEXT NOT NULL, created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL);
CREATE INDEX records_by_name ON records(name, created_ms);
CREATE TABLE layers(
  id TEXT PRIMARY KEY, diff_id TEXT, blob_digest TEXT, blob_size INTEGER, media_type TEXT, tar_size INTEGER,
  snapshot TEXT, has_tree INTEGER NOT NULL DEFAULT 0, has_chunk_index INTEGER NOT NULL DEFAULT 0, origin TEXT,
  created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX layers_by_diff_id ON layers(diff_id);
CREATE TABLE locks(
  key TEXT PRIMARY KEY, pid INTEGER NOT NULL, start_time TEXT NOT NULL, token TEXT NOT NULL,
  taken_ms INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;`;
/** What each version added to the one before it. */
const CHANGES: Readonly<Record<number, string>> = {
  1: `
CREATE TABLE cache_mounts(
  name TEXT PRIMARY KEY, id TEXT NOT NULL, base TEXT NOT NULL, ready INTEGER NOT NULL DEFAULT 0,
  stale INTEGER NOT NULL DEFAULT 0, size INTEGER, created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE INDEX cache_mounts_by_id ON cache_mounts(id, base);
CREATE TABLE cache_mount_users(
  name TEXT NOT NULL, pid INTEGER NOT NULL, start_time TEXT NOT NULL, token TEXT NOT NULL, kind TEXT NOT NULL);
PRAGMA user_version = 2;`,
  2: `
ALTER TABLE layers ADD COLUMN annotations TEXT;
PRAGMA user_version = 3;`,
  3: `
ALTER TABLE layers ADD COLUMN urls TEXT;
PRAGMA user_version = 4;`,
  4: `
ALTER TABLE layers ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE layers ADD COLUMN snapshot_bytes INTEGER;
ALTER TABLE cache_mounts ADD COLUMN sized_ms INTEGER;
CREATE TABLE blob_uses(
  digest TEXT PRIMARY KEY, used_ms INTEGER NOT NULL, uses INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 5;`,
};

/** Primary result codes: sqlite.org/rescode.html. Extended codes carry them in the low byte. */
const BUSY = 5;
const LOCKED = 6;
const CORRUPT = 11;
const FULL = 13;
const NOTADB = 26;
const READONLY = 8;
const CANTOPEN = 14;
const IOERR = 10;
/** Less room than this for the log and its index: an I/O error is that of a full disk, which SQLite does not tell. */
const FULL_BELOW_BYTES = 64 << 10;

const BUSY_TIMEOUT_MS = 5000;
const BUSY_RETRIES = 20;

export interface DatabaseOptions {
  /** Told when a damaged file was moved aside. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Opens cache.db. All it holds can be computed again, so a damaged file is moved to `FILE.damaged` and an empty
 * one takes its place, also when the damage shows only later.
 * @throws STORE_INVALID when a newer ocibuild wrote it; STORE_NOT_WRITABLE, DISK_FULL
 */
export async function openDatabase(file: string, options: DatabaseOptions = {}): Promise<Database> {
  const { DatabaseSync } = await import('node:sqlite');
  let session = openSession(DatabaseSync, file, options);

  /** Runs `body`; when the file turns out to be damaged, once more on an empty one. */
  const guarded = <T>(body: () => T): T => {
    try {
      return retryBusy(body);
    } catch (error) {
      if (!isDamage(error)) throw sqliteError(error, file);
      session.close();
      session = openSession(DatabaseSync, file, { ...options, damaged: { inode: session.inode } });
      return retryBusy(body);
    }
  };
  let inTransaction = false;
  const query = <T>(sql: string, body: (statement: StatementSync) => T): T =>
    // Inside a transaction the whole of it is what has to be repeated.
    inTransaction ? body(session.prepare(sql)) : guarded(() => body(session.prepare(sql)));

  return {
    get: (sql, ...params) => query(sql, (statement) => statement.get(...params) as Row | undefined),
    all: (sql, ...params) => query(sql, (statement) => statement.all(...params) as Row[]),
    run: (sql, ...params) => query(sql, (statement) => Number(statement.run(...params).changes)),
    transaction(body) {
      if (inTransaction) return body();
      return guarded(() => {
        // IMMEDIATE: a read lock that is upgraded later fails at once when somebody else has written meanwhile.
        session.database.exec('BEGIN IMMEDIATE');
        inTransaction = true;
        try {
          const value = body();
          session.database.exec('COMMIT');
          return value;
        } catch (error) {
          if (session.database.isTransaction) session.database.exec('ROLLBACK');
          throw error;
        } finally {
          inTransaction = false;
        }
      });
    },
    close() {
      session.close();
    },
  };
}

type Row = Readonly<Record<string, SqlValue>>;

interface Session {
  readonly database: DatabaseSync;
  readonly inode: number;
  prepare(sql: string): StatementSync;
  close(): void;
}

type SessionOptions = DatabaseOptions & { readonly damaged?: { readonly inode: number } };

function openSession(Sqlite: typeof DatabaseSync, file: string, options: SessionOptions): Session {
  if (options.damaged !== undefined) moveAside(file, options.damaged.inode, options);
  for (let attempt = 0; ; attempt++) {
    let inode = 0;
    try {
      // SQLite takes an empty file for a new database; made here because SQLite knows no mode. It gives its
      // -wal and -shm files the mode of the main file.
      closeSync(openSync(file, 'a', 0o600));
      inode = statSync(file).ino;
      return connect(Sqlite, file, inode);
    } catch (error) {
      if (!isDamage(error) || attempt > 2) throw sqliteError(error, file);
      moveAside(file, inode, options);
    }
  }
}

function connect(Sqlite: typeof DatabaseSync, file: string, inode: number): Session {
  const database = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    // NORMAL in WAL mode: survives a kill; a power loss may undo the last records, which are then made again.
    retryBusy(() => database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL'));
    retryBusy(() => prepareSchema(database, file));
  } catch (error) {
    database.close();
    throw error;
  }
  const statements = new Map<string, StatementSync>();
  return {
    database,
    inode,
    prepare(sql) {
      const statement = statements.get(sql) ?? database.prepare(sql);
      statements.set(sql, statement);
      return statement;
    },
    close() {
      statements.clear();
      if (database.isOpen) database.close();
    },
  };
}

function prepareSchema(database: DatabaseSync, file: string): void {
  if (schemaVersion(database, file) === SCHEMA_VERSION) return;
  database.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have made the tables while this one waited.
    if (schemaVersion(database, file) === 0) database.exec(SCHEMA);
    for (let version = schemaVersion(database, file); version < SCHEMA_VERSION; version++)
      database.exec(CHANGES[version] ?? '');
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function schemaVersion(database: DatabaseSync, file: string): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  if (version <= SCHEMA_VERSION) return version;
  throw new OcibuildError(
    'STORE_INVALID',
    `Cannot use "${file}": a newer ocibuild wrote it (schema ${version}, this version knows ${SCHEMA_VERSION})`,
    { hint: 'upgrade ocibuild, or choose another directory with --root', details: { path: file, version } },
  );
}

/** Two processes may meet the damage at once: only the file that was seen to be damaged is moved. The log goes
 * first, for SQLite would replay it into the new file. */
function moveAside(file: string, inode: number, options: DatabaseOptions): void {
  if (statSync(file, { throwIfNoEntry: false })?.ino !== inode) return;
  rmSync(`${file}-wal`, { force: true });
  rmSync(`${file}-shm`, { force: true });
  try {
    renameSync(file, `${file}.damaged`);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return;
  }
  options.onWarning?.(
    `The cache index "${file}" was damaged and starts empty; the old file is "${file}.damaged"`,
  );
}

function retryBusy<T>(body: () => T): T {
  for (let attempt = 1; ; attempt++) {
    try {
      return body();
    } catch (error) {
      const code = resultCode(error);
      if ((code !== BUSY && code !== LOCKED) || attempt === BUSY_RETRIES) throw error;
      // The busy timeout does not cover everything: switching to WAL and recovery fail at once.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 + Math.random() * 10 * attempt);
    }
  }
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}

function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code === CORRUPT || code === NOTADB;
}

function sqliteError(error: unknown, file: string): unknown {
  const code = resultCode(error) ?? -1;
  if (code === IOERR && isFull(file))
    return storeError(Object.assign(error as Error, { code: 'ENOSPC' }), file);
  const errno = { [FULL]: 'ENOSPC', [READONLY]: 'EROFS', [CANTOPEN]: 'EACCES' }[code];
  return storeError(errno === undefined ? error : Object.assign(error as Error, { code: errno }), file);
}

function isFull(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize < FULL_BELOW_BYTES;
  } catch {
    return false;
  }
}
