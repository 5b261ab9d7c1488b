import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';

/** A flag's value as one of the words that it takes. @throws USAGE_INVALID */
export function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  const near = didYouMean(value, allowed);
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${flag} "${value}": expected ${allowed.join(', ')}`, {
    ...(near === undefined ? {} : { hint: near }),
  });
}
