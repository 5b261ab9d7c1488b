import { diffConfigs, type FieldChange } from '../../image/diff-config.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import { diffTrees, type PathChange } from '../../layer/tree/diff-trees.ts';
import { mergeTrees } from '../../layer/tree/merge-trees.ts';
import type { Tree } from '../../layer/types.ts';
import { openEngine } from '../engine.ts';
import type { StoreCommandOptions } from './store-commands.ts';
import { findImage, type ImageDetails } from './stored-image.ts';

/** How two images of a store differ. */
export interface ImageDiff {
  readonly before: ImageSummary;
  readonly after: ImageSummary;
  readonly config: readonly FieldChange[];
  /** How many layers, from the base up, are the same. */
  readonly sameLayers: number;
  /** Layers whose content is the same and whose blobs are not: other compression. */
  readonly recompressed: readonly { readonly before: Digest; readonly after: Digest }[];
  /** The file systems, as a container would see them. */
  readonly files: readonly PathChange[];
}

export interface ImageSummary {
  readonly name: string;
  readonly digest: Digest;
  readonly layers: number;
}

/**
 * Explains how two images differ: config, layers and every path.
 * @throws IMAGE_NOT_FOUND, LAYER_*, BLOB_*
 */
export async function diffImages(
  root: string,
  names: { readonly before: string; readonly after: string },
  options: StoreCommandOptions,
): Promise<ImageDiff> {
  await using engine = await openEngine({ root, ...options, access: 'look' });
  const before = findImage(engine, names.before, options.platform);
  const after = findImage(engine, names.after, options.platform);
  const treesOf = ({ layers, manifest }: ImageDetails): Promise<Tree[]> =>
    Promise.all(
      layers.map(({ diffId }, i) => {
        const descriptor = manifest.layers[i] as Descriptor;
        return engine.layers.tree(
          engine.layers.addBase({ diffId, descriptor, origin: undefined }),
          options.signal,
        );
      }),
    );
  const differs = after.layers.findIndex(({ diffId }, i) => diffId !== before.layers[i]?.diffId);
  const sameLayers = differs === -1 ? Math.min(after.layers.length, before.layers.length) : differs;
  const recompressed = after.layers.flatMap(({ digest, diffId }, i) => {
    const was = before.layers[i];
    return was?.diffId === diffId && was.digest !== digest ? [{ before: was.digest, after: digest }] : [];
  });
  const isSame = sameLayers === before.layers.length && sameLayers === after.layers.length;
  const files = isSame ? [] : diffTrees(mergeTrees(await treesOf(before)), mergeTrees(await treesOf(after)));
  return {
    before: summary(before),
    after: summary(after),
    config: diffConfigs(before.config, after.config),
    ...{ sameLayers, recompressed, files },
  };
}

function summary({ name, descriptor, layers }: ImageDetails): ImageSummary {
  return { name, digest: descriptor.digest, layers: layers.length };
}
