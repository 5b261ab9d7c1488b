import { isRacy } from '../last-build.ts';
import { createSelection } from './context-select.ts';
import type { Walk } from './context-types.ts';
import { DIGEST_LENGTH, FLAG_DIGEST, FLAG_KNOWN, ROW_WIDTH, type StatTable } from './stat-cache.ts';
import { comparePaths } from './table-cursor.ts';

/** Of the rows that a walk did not ask for, those outside of what it had selected: another build may need them. */
export function keptRows(
  table: StatTable,
  skipped: readonly number[],
  select: readonly string[],
): readonly number[] {
  const selection = createSelection(select);
  return skipped.filter((row) => {
    const parts = (table.names[row] ?? '').split('/');
    let node = selection.root();
    for (const name of parts) {
      if (node.children === undefined) return false;
      const next = node.children.get(name);
      if (next === undefined) return true;
      node = next;
    }
    return false;
  });
}

/**
 * What is known after a scan, in canonical order; undefined when that is what the table held already. Racy rows
 * know nothing: a file written in the clock tick in which it was read may change again without a new time.
 */
export function mergedTable(
  table: StatTable,
  { entries, modes, matched }: Walk,
  { kept, startedMs }: { readonly kept: readonly number[]; readonly startedMs: number },
): StatTable | undefined {
  const flagsOf = (i: number): number => {
    const entry = entries[i];
    if (entry === undefined || isRacy(entry.mtimeMs, entry.ctimeMs, startedMs)) return 0;
    return entry.digest === undefined ? FLAG_KNOWN : FLAG_KNOWN | FLAG_DIGEST;
  };
  const flags = entries.map((_, i) => flagsOf(i));
  const same =
    table.names.length === entries.length + kept.length &&
    matched.every((row, i) => row !== -1 && table.flags[row] === flags[i]);
  if (same) return undefined;

  const writer = createTableWriter(table, entries.length + kept.length);
  let next = 0;
  for (const [i, entry] of entries.entries()) {
    for (; next < kept.length; next++) {
      const row = kept[next] ?? 0;
      if (comparePaths(table.names[row] ?? '', entry.path) > 0) break;
      writer.copy(row);
    }
    const { path, mtimeMs, ctimeMs, size, ino, xattrs } = entry;
    // The names of a table are UTF-8; the few files whose names are not are looked at anew each time.
    if (!path.isWellFormed()) continue;
    writer.add(path, [mtimeMs, ctimeMs, size, ino, modes[i] ?? 0], flags[i] ?? 0);
    if (entry.digest !== undefined) writer.digest(entry.digest);
    if (xattrs !== undefined) writer.xattrs(xattrs);
  }
  for (; next < kept.length; next++) writer.copy(kept[next] ?? 0);
  return writer.finish();
}

interface TableWriter {
  add(path: string, row: readonly number[], flags: number): void;
  /** Of the row added last. */
  digest(digest: string): void;
  xattrs(xattrs: Readonly<Record<string, string>>): void;
  copy(row: number): void;
  finish(): StatTable;
}

function createTableWriter(from: StatTable, capacity: number): TableWriter {
  const names: string[] = [];
  const rows = new Float64Array(capacity * ROW_WIDTH);
  const flags = new Uint8Array(capacity);
  const digests = Buffer.alloc(capacity * DIGEST_LENGTH);
  const xattrs = new Map<number, Readonly<Record<string, string>>>();
  return {
    add(path, row, flag) {
      rows.set(row, names.length * ROW_WIDTH);
      flags[names.length] = flag;
      names.push(path);
    },
    digest(digest) {
      digests.write(digest.slice(7), (names.length - 1) * DIGEST_LENGTH, 'latin1');
    },
    xattrs(value) {
      xattrs.set(names.length - 1, value);
    },
    copy(row) {
      const at = names.length;
      rows.set(from.rows.subarray(row * ROW_WIDTH, (row + 1) * ROW_WIDTH), at * ROW_WIDTH);
      from.digests.copy(digests, at * DIGEST_LENGTH, row * DIGEST_LENGTH, (row + 1) * DIGEST_LENGTH);
      flags[at] = from.flags[row] ?? 0;
      const known = from.xattrs.get(row);
      if (known !== undefined) xattrs.set(at, known);
      names.push(from.names[row] ?? '');
    },
    finish: () => ({
      names,
      rows: rows.subarray(0, names.length * ROW_WIDTH),
      flags: flags.subarray(0, names.length),
      digests: digests.subarray(0, names.length * DIGEST_LENGTH),
      xattrs,
    }),
  };
}
