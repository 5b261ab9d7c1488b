import { expect } from 'vitest';
import { expectedDescription } from './described.ts';
import type { Outcome } from './types.ts';

/** Asserts that a case gave what it is to give. */
export function expectOutcome(actual: Outcome, expected: Outcome): void {
  // Docker's words are not ours; the line at fault is the same fact for both.
  if ('error' in expected && 'error' in actual) {
    expect(actual.error.lines, actual.error.message).toEqual(expected.error.lines ?? actual.error.lines);
  } else if ('described' in expected) expect(actual).toEqual(expectedDescription(expected, actual));
  else expect(actual).toEqual(expected);
}
