import { stripControls } from '../errors/redact.ts';
import { clip, widthOf } from '../ui/text-width.ts';

const UNITS = ['kB', 'MB', 'GB', 'TB'] as const;

/** Rows as lines; columns are as wide as their widest cell and `gap` blanks. */
export function table(rows: readonly (readonly string[])[], gap = 2): string {
  const cells = rows.map((row) => row.map((cell) => oneLine(cell)));
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => widthOf(row[column] ?? ''))),
  );
  const padded = cells.map((row) =>
    row.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell))).join(' '.repeat(gap)),
  );
  return padded.map((line) => `${line.trimEnd()}\n`).join('');
}

/** A text of anybody's, such as the history of a pulled image, on one line that does nothing to a terminal. */
export function oneLine(text: string, columns: number = Number.POSITIVE_INFINITY): string {
  return clip(stripControls(text.replace(/\s+/g, ' ')), columns);
}

export function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let [value, unit] = [bytes / 1000, 0];
  // What is rounded up to 1000.0 is one of the next unit.
  for (; value >= 999.95 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}
