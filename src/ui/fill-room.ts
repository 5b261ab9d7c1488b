/** Output lines that a step has before finished steps may be seen. */
const FIRST_DETAILS = 6;

/** A step's row, and what stands below it. */
export interface Block {
  readonly line: string;
  /** It runs or has failed: it is shown before others, with its details. */
  readonly isOpen: boolean;
  /** At most that many lines. */
  readonly details?: (max: number) => readonly string[];
}

/** Chooses what is shown in that many lines, in the given order: rows of running steps first, then some output of each, then
 * the finished steps that ended last, then more output. */
export function fillRoom(
  blocks: readonly Block[],
  room: number,
  more: (count: number, what: 'finished' | 'running') => string,
): string[] {
  const open = blocks.filter(({ isOpen }) => isOpen);
  if (open.length > room) {
    const shown = open.slice(0, Math.max(room - 1, 0)).map(({ line }) => line);
    return [...shown, more(open.length - shown.length, 'running')];
  }
  const details = open.map((block) => block.details?.(room) ?? []);
  const wanted = details.map((lines) => lines.length);
  const left = room - open.length;
  const first = share(
    wanted.map((count) => Math.min(count, FIRST_DETAILS)),
    left,
  );
  const closed = blocks.length - open.length;
  const forClosed = Math.min(left - sum(first), closed);
  const hidden = forClosed < closed ? closed - Math.max(forClosed - 1, 0) : 0;
  const given = share(wanted, left - forClosed);
  const lines: string[] = hidden > 0 && forClosed > 0 ? [more(hidden, 'finished')] : [];
  let seenClosed = 0;
  for (const block of blocks) {
    if (!block.isOpen) {
      if (++seenClosed > hidden) lines.push(block.line);
      continue;
    }
    const place = open.indexOf(block);
    const all = details[place] ?? [];
    const count = given[place] ?? 0;
    lines.push(block.line, ...(count < all.length ? (block.details?.(count) ?? []) : all));
  }
  return lines;
}

/** Gives each what it wants, or as evenly as there is. */
function share(wanted: readonly number[], room: number): number[] {
  const given = wanted.map(() => 0);
  for (let left = room; left > 0; ) {
    const hungry = wanted.flatMap((count, i) => ((given[i] ?? 0) < count ? [i] : []));
    if (hungry.length === 0) break;
    for (const i of hungry.slice(0, left)) given[i] = (given[i] ?? 0) + 1;
    left -= Math.min(hungry.length, left);
  }
  return given;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
