import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { openDatabase } from './database.ts';
import { readError, storeError } from './store-error.ts';
import type { Database } from './types.ts';

/** A log begins anew every thousand pages at most: between two of those a copy has time enough. */
const MAX_TRIES = 20;
/** Of a write-ahead log: salts among it, which are new whenever it begins anew. @see sqlite.org/fileformat.html §4.1 */
const LOG_HEADER_BYTES = 32;

/**
 * cache.db for who may not write beside it: a copy, which may be written and is gone with the process. In place SQLite
 * would need the index of a log that a killed process left, and an old schema could not be brought up to date.
 * A database that is not there is empty; one that may not be read says so when it is asked.
 * @param tempDir where the copy is made
 */
export async function openDatabaseView(file: string, tempDir: string): Promise<Database> {
  let dir: string;
  try {
    dir = mkdtempSync(join(tempDir, 'ocibuild-view-'));
  } catch (cause) {
    return unreadable(noTempDir(file, tempDir, cause));
  }
  try {
    const copy = join(dir, 'cache.db');
    copyDatabase(file, copy);
    return await openDatabase(copy);
  } catch (error) {
    const meant = readError(error, file);
    if (meant === error) throw storeError(error, dir);
    return unreadable(meant);
  } finally {
    // The open files stay until they are closed, and a killed process leaves nothing.
    rmSync(dir, { recursive: true });
  }
}

/**
 * Copies a database with its log, as it was at one moment, whoever writes meanwhile. The log comes second, so it holds
 * whatever a checkpoint moved into the database while that was copied, unless it began anew in between.
 */
function copyDatabase(file: string, copy: string): void {
  for (let left = MAX_TRIES; ; left--) {
    const before = stateOf(file);
    copyIfThere(file, copy);
    copyIfThere(`${file}-wal`, `${copy}-wal`);
    if (stateOf(file) === before || left === 0) return;
  }
}

/** Changes whenever a copy that is made meanwhile may lack something. */
function stateOf(file: string): string {
  const log = headerOf(`${file}-wal`);
  if (log !== '') return log;
  const { ino, size, mtimeNs } = statSync(file, { bigint: true, throwIfNoEntry: false }) ?? {};
  return [ino, size, mtimeNs].join(' ');
}

function headerOf(log: string): string {
  try {
    const fd = openSync(log, 'r');
    try {
      const header = Buffer.alloc(LOG_HEADER_BYTES);
      return header.toString('hex', 0, readSync(fd, header));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return '';
  }
}

function copyIfThere(from: string, to: string): void {
  rmSync(to, { force: true });
  try {
    copyFileSync(from, to);
    chmodSync(to, 0o600);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function noTempDir(file: string, tempDir: string, cause: unknown): OcibuildError {
  const why = `it is read through a copy, and none can be made in "${tempDir}"`;
  return new OcibuildError('STORE_NOT_READABLE', `Cannot read "${file}": ${why}`, {
    hint: 'name a directory that can be written in TMPDIR',
    details: { path: file },
    cause,
  });
}

function unreadable(error: unknown): Database {
  const refuse = (): never => {
    throw error;
  };
  return { get: refuse, all: refuse, run: refuse, transaction: refuse, close: () => undefined };
}
