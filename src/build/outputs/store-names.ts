import type { Digest } from '../../image/types.ts';
import type { StoreForm } from '../options.ts';
import type { ImageName } from './image-name.ts';

/** The names that an image gets in the store, as people write them. */
export function storeNames(
  names: readonly ImageName[],
  digest: Digest,
  { danglingNamePrefix: prefix, danglingNameEmptyOnly = false, nameCanonical = false }: StoreForm,
): readonly string[] {
  const given = names.map(({ familiar }) => familiar);
  const dangling = prefix !== undefined && (given.length === 0 || !danglingNameEmptyOnly);
  return [
    ...given,
    ...(nameCanonical ? given.map((name) => `${name}@${digest}`) : []),
    ...(dangling ? [`${prefix}@${digest}`] : []),
  ];
}
