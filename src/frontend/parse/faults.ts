import { MultiError, OcibuildError } from '../../errors/error.ts';

/** Faults that do not depend on one another, gathered so that one look at the file finds them all. */
export interface Faults {
  /** Runs a step; undefined: it failed, and its fault is kept. Bugs pass through. */
  attempt<T>(step: () => T): T | undefined;
  add(error: OcibuildError): void;
  any(): boolean;
  /** Throws what was kept, alone or as a MultiError, in order of the lines. */
  check(): void;
}

export function createFaults(): Faults {
  const kept: OcibuildError[] = [];
  return {
    attempt(step) {
      try {
        return step();
      } catch (error) {
        if (!(error instanceof OcibuildError) || error.category === 'internal') throw error;
        kept.push(...(error instanceof MultiError ? error.errors : [error]));
        return undefined;
      }
    },
    add: (error) => void kept.push(error),
    any: () => kept.length > 0,
    check() {
      const [first, ...more] = kept.toSorted((a, b) => lineOf(a) - lineOf(b));
      if (first === undefined) return;
      throw more.length === 0 ? first : new MultiError([first, ...more]);
    },
  };
}

function lineOf({ source }: OcibuildError): number {
  return source?.ranges[0]?.start.line ?? 0;
}
