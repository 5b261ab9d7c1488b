// Loaded before anything else by a command that may have nothing to do: node:fs and node:path only.
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { StatRow } from './contexts/context-types.ts';

/** What a finished build was made of, and what it said: equal again → the same answer at once. */
export interface LastBuild {
  /** Version of ocibuild and of this form; another one is no record. */
  readonly version: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  /** The variables that matter; absent ones as null. */
  readonly env: Readonly<Record<string, string | null>>;
  /** All that was read of the file system, directories included: an equal directory has the same names in it. */
  readonly files: readonly StatRow[];
  /** Files whose text counts rather than their times: path → text. */
  readonly texts: Readonly<Record<string, string>>;
  /** Tags that must still point where they did: name → digest. */
  readonly tags: Readonly<Record<string, string>>;
  /** Paths of blobs that must exist. */
  readonly blobs: readonly string[];
  /** What the build printed. */
  readonly lines: { readonly stdout: readonly string[]; readonly stderr: readonly string[] };
}

/** The kernel stamps files with the time of its last tick, at most 10 ms ago. */
const TICK_MS = 20;
/** File systems without fractions (ext3, HFS+: 1 s, FAT: 2 s) show it by a whole-second ctime, which nobody can set. */
const COARSE_MS = 2000;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** Whether a change made right after `readMs` could have left the same times. */
export function isRacy(mtimeMs: number, ctimeMs: number, readMs: number): boolean {
  const granularity = ctimeMs % 1000 === 0 ? COARSE_MS : TICK_MS;
  return Math.max(mtimeMs, ctimeMs) >= readMs - granularity;
}

/**
 * Writes a record; an older one goes. False, and no record, when a file was so new that a change could have been
 * missed. `readMs` is when the first of the files was looked at, `temp` a free path on the same file system.
 */
export function writeLastBuild(
  file: string,
  record: LastBuild,
  { readMs, temp }: { readonly readMs: number; readonly temp: string },
): boolean {
  const racy = record.files.some(
    ([, mtimeMs, ctimeMs, , , mode]) => mode !== 0 && isRacy(mtimeMs, ctimeMs, readMs),
  );
  if (racy) {
    rmSync(file, { force: true });
    return false;
  }
  mkdirSync(dirname(file), { recursive: true });
  try {
    // No sync: a record that a power loss cut is not JSON, and then there is none.
    writeFileSync(temp, JSON.stringify(record), { flag: 'wx', mode: 0o600 });
    chmodSync(temp, 0o600);
    renameSync(temp, file);
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
  return true;
}

/** Undefined when there is no record, or one of another version. */
export function readLastBuild(file: string, version: string): LastBuild | undefined {
  try {
    const record = JSON.parse(readFileSync(file, 'utf8')) as LastBuild;
    return record.version === version && Array.isArray(record.files) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Whether everything looks as it did: one lstat for each row, no readdir. Stops at the first difference. */
export function rowsUnchanged(rows: readonly StatRow[]): boolean {
  try {
    return rows.every(([path, mtimeMs, ctimeMs, size, ino, mode]) => {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return mode === 0;
      return (
        stat.mode === mode &&
        stat.mtimeMs === mtimeMs &&
        stat.ctimeMs === ctimeMs &&
        stat.ino === ino &&
        ((mode & S_IFMT) !== S_IFREG || stat.size === size)
      );
    });
  } catch {
    return false;
  }
}
