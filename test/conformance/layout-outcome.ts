/** Reduces what a build wrote to a layout: one image, or an index over several. */
import { type FlatImage, flattenLayout, type KnownLayers, platformsOfLayout } from '../support/flatten.ts';
import { outcomeOf } from './outcome.ts';
import type { BuiltOutcome, IndexOutcome } from './types.ts';

export async function outcomeOfLayout(
  dir: string,
  base: FlatImage,
  known: KnownLayers = new Map(),
): Promise<BuiltOutcome | IndexOutcome> {
  const platforms = await platformsOfLayout(dir);
  if (platforms === undefined) return outcomeOf(await flattenLayout(dir, { known }), base);
  const images: IndexOutcome['images'] = [];
  for (const platform of platforms) {
    images.push({ platform, ...outcomeOf(await flattenLayout(dir, { platform, known }), base) });
  }
  return { images };
}
