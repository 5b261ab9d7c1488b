import type { ExportSet } from '../../exporter/types.ts';
import type { Digest } from '../../image/types.ts';
import type { Engine } from '../engine.ts';

/** Unpacks the layers of images, so that a build on them need not. */
export async function unpackSet(
  { images }: ExportSet,
  { layers: store }: Pick<Engine, 'layers'>,
  signal: AbortSignal,
): Promise<void> {
  for (const { config, layers } of images) {
    for (const [i, { descriptor }] of layers.entries()) {
      const diffId = config.rootfs.diff_ids[i] as Digest;
      await store.snapshot(store.addBase({ diffId, descriptor, origin: undefined }), signal);
    }
  }
}
