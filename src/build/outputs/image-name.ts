import { OcibuildError } from '../../errors/error.ts';
import { familiarName, normalName, parseReference, withDefaultTag } from '../../image/reference.ts';

/** A name of an image, normalised and as people write it. */
export interface ImageName {
  readonly normal: string;
  readonly familiar: string;
}

/** @throws REFERENCE_INVALID */
export function readName(tag: string): ImageName {
  const reference = withDefaultTag(parseReference(tag));
  if (reference.digest !== undefined) {
    throw new OcibuildError('REFERENCE_INVALID', `Cannot name an image "${tag}": a name has no digest`);
  }
  return { normal: normalName(reference), familiar: familiarName(reference) };
}
