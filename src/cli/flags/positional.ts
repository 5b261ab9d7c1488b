import { OcibuildError } from '../../errors/error.ts';
import type { ParsedArgs } from './types.ts';

/** @param more how many further arguments are fine */
export function takePositional(
  { positional }: ParsedArgs,
  names: readonly string[],
  more = 0,
): readonly string[] {
  if (positional.length >= names.length && positional.length <= names.length + more) return positional;
  const expected = names.length === 0 ? 'no arguments' : names.join(' and ');
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use ${positional.length} ${positional.length === 1 ? 'argument' : 'arguments'}: expected ${expected}`,
    {
      hint: 'see `ocibuild help`',
    },
  );
}
