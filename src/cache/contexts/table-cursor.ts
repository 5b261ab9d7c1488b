import type { ContextEntry } from './context-types.ts';
import { DIGEST_LENGTH, FLAG_DIGEST, FLAG_KNOWN, ROW_WIDTH, type StatTable } from './stat-cache.ts';

/** Goes along a stat table while a walk in the same order asks for its paths. */
export interface TableCursor {
  /** The row of a path whose facts are equal and trusted, or -1. Paths come in canonical order. */
  find(path: string, entry: ContextEntry, rawMode: number): number;
  /** Puts what the row knows into the entry. */
  fill(entry: { -readonly [K in keyof ContextEntry]: ContextEntry[K] }, row: number): void;
  /** Rows whose path was not asked for, in order. Call it after the walk. */
  skipped(): readonly number[];
}

export function createTableCursor(table: StatTable, digestHex: string): TableCursor {
  const { names, rows, flags, xattrs } = table;
  const skipped: number[] = [];
  let at = 0;
  return {
    find(path, entry, rawMode) {
      for (; at < names.length; at++) {
        const name = names[at] as string;
        if (name === path) {
          const row = at++;
          const start = row * ROW_WIDTH;
          const equal =
            rows[start] === entry.mtimeMs &&
            rows[start + 1] === entry.ctimeMs &&
            rows[start + 2] === entry.size &&
            rows[start + 3] === entry.ino &&
            rows[start + 4] === rawMode;
          return equal && ((flags[row] ?? 0) & FLAG_KNOWN) !== 0 ? row : -1;
        }
        if (comparePaths(name, path) > 0) return -1;
        skipped.push(at);
      }
      return -1;
    },
    fill(entry, row) {
      if (((flags[row] ?? 0) & FLAG_DIGEST) !== 0) {
        entry.digest = `sha256:${digestHex.slice(row * DIGEST_LENGTH, (row + 1) * DIGEST_LENGTH)}`;
      }
      const known = xattrs.size === 0 ? undefined : xattrs.get(row);
      if (known !== undefined) entry.xattrs = known;
    },
    skipped() {
      for (; at < names.length; at++) skipped.push(at);
      return skipped;
    },
  };
}

/** Canonical order of paths: component by component, so the separator sorts below every other character. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    return (x === SLASH ? 0 : x) - (y === SLASH ? 0 : y);
  }
  return a.length - b.length;
}

const SLASH = 47;
