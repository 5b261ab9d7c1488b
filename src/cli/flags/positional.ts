import { OcibuildError } from '../../errors/error.ts';
import type { ParsedArgs } from './types.ts';

/** @param more how many further arguments are fine */
export function takePositional(
  { positional }: ParsedArgs,
  names: readonly string[],
  more = 0,
): readonly string[] {
  if (positional.length >= names.length && positional.length <= names.length + more) return positional;
  const missing = names.slice(positional.length);
  const expected =
    names.length + more === 0 ? 'no arguments' : `only ${names.join(' and ') || 'one argument'}`;
  const fault =
    missing.length > 0
      ? `Cannot do this without ${missing.join(' and ')}`
      : `Cannot use "${positional[names.length + more]}": expected ${expected}`;
  throw new OcibuildError('USAGE_INVALID', fault);
}
