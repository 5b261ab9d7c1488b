import { assembleIndex } from '../../exporter/image-writer.ts';
import type { ExportImage, ExportSet } from '../../exporter/types.ts';
import type { ImageFormat } from '../../image/media-types.ts';
import type { Digest } from '../../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import type { Engine } from '../engine.ts';
import type { PlannedImage, TargetGraph } from '../graph.ts';
import type { NormalOptions } from '../normalise.ts';
import { annotationsOf } from './annotations.ts';
import { assembleResult } from './assemble.ts';
import { clampTimes } from './clamp-times.ts';
import { blobOptions, type ImageOutput } from './image-outputs.ts';

export interface ImageContext {
  readonly options: NormalOptions;
  readonly engine: Engine;
  /** Layers of a solved vertex; of none for undefined. */
  readonly layersOf: (root: Digest | undefined) => readonly LayerId[];
  readonly signal: AbortSignal;
  readonly nowMs: number;
}

/** The images of one target as an output wants them, with an index over them where there is to be one. */
export async function makeSet(
  { images }: TargetGraph,
  output: ImageOutput,
  context: ImageContext,
): Promise<ExportSet> {
  const { indexed, annotations } = context.options;
  const made: ExportImage[] = [];
  // One after the other: each packs its layers side by side already.
  for (const image of images) made.push(await makeImage(image, output, context));
  const [only] = made;
  if (only !== undefined && !indexed) return { top: only.manifest, images: made };
  return assembleIndex(made, {
    index: annotationsOf(annotations, 'index'),
    descriptor: annotationsOf(annotations, 'index-descriptor'),
    format: formatOf(output),
  });
}

async function makeImage(
  { platform, front }: PlannedImage,
  output: ImageOutput,
  { engine, options, layersOf, signal, nowMs }: ImageContext,
): Promise<ExportImage> {
  const how = blobOptions(output);
  const given = layersOf(front.target);
  const base = given.length - newLayers(front);
  const { epochSec } = options;
  const layers =
    output.rewriteTimestamp === true && epochSec !== undefined
      ? [
          ...given.slice(0, base),
          ...(await clampTimes(given.slice(base), engine, { epochSec, blob: how, signal })),
        ]
      : given;
  const packed = layers.filter((id) => id !== EMPTY_LAYER);
  const blobs = await Promise.all(packed.map((id) => engine.layers.blob(id, how, signal)));
  return assembleResult(front, {
    layers,
    blobs,
    rows: engine.rows,
    epochSec: options.epochSec,
    nowMs,
    platform,
    format: formatOf(output),
    annotations: {
      manifest: annotationsOf(options.annotations, 'manifest', platform),
      descriptor: annotationsOf(options.annotations, 'manifest-descriptor', platform),
    },
  });
}

/** How many layers, empty ones too, stand above the base's. */
function newLayers({ config, baseHistory }: PlannedImage['front']): number {
  const added = (config.history ?? []).slice(baseHistory);
  return added.filter((entry) => entry.empty_layer !== true).length;
}

function formatOf({ ociMediaTypes = true }: ImageOutput): ImageFormat {
  return ociMediaTypes ? 'oci' : 'docker';
}
