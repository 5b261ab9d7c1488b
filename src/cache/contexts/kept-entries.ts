import type { Walk } from './context-types.ts';
import { comparePaths } from './table-cursor.ts';

/** What an earlier walk saw where nothing has changed since. */
export interface KeptEntries {
  /** Paths that changed, also whole directories with all that is below them. */
  readonly changed: ReadonlySet<string>;
  /** The entries at and below a path; undefined where something changed, or nothing was seen. */
  at(path: string): KeptRange | undefined;
}

/** Entries of a walk, `to` excluded. */
export interface KeptRange {
  readonly walk: Walk;
  readonly from: number;
  readonly to: number;
}

/** @param changed relative to the context, without leading slash */
export function keptEntries(walk: Walk, changed: ReadonlySet<string>): KeptEntries {
  const { entries } = walk;
  const onTheWay = new Set<string>();
  for (const path of changed) {
    for (let end = path.length; end > 0 && !onTheWay.has(path.slice(0, end)); ) {
      onTheWay.add(path.slice(0, end));
      end = path.lastIndexOf('/', end - 1);
    }
  }
  /** The first entry from there on that does not lie before a path. */
  const lowerBound = (path: string, from: number): number => {
    let [low, high] = [from, entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePaths(entries[middle]?.path ?? '', path) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    changed,
    at(path) {
      if (onTheWay.has(path)) return undefined;
      const from = lowerBound(path, 0);
      const first = entries[from];
      if (first?.path !== path) return undefined;
      // The separator sorts below every character, 1 is the next: this is where the siblings go on.
      const to = first.type === 'dir' ? lowerBound(`${path}\u0001`, from) : from + 1;
      return { walk, from, to };
    },
  };
}
