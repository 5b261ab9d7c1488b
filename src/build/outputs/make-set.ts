import { assembleIndex } from '../../exporter/image-writer.ts';
import type { ExportAttestation, ExportImage, ExportSet } from '../../exporter/types.ts';
import { distributable, type ImageFormat } from '../../image/media-types.ts';
import type { Digest, ImageConfig } from '../../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { inlineField, withoutInlineCache } from '../../remotecache/inline-cache.ts';
import type { CachedRecord } from '../../remotecache/types.ts';
import type { Engine } from '../engine.ts';
import type { PlannedImage, TargetGraph } from '../graph.ts';
import type { NormalOptions } from '../normalise.ts';
import { CACHE_SALT } from '../version.ts';
import { annotationsOf } from './annotations.ts';
import { assembleResult } from './assemble.ts';
import { carriesAttestations } from './attest-options.ts';
import type { Attester } from './attester.ts';
import { clampTimes } from './clamp-times.ts';
import { blobOptions, type ImageOutput } from './image-outputs.ts';

export interface ImageContext {
  readonly options: NormalOptions;
  readonly engine: Engine;
  /** Layers of a solved vertex; of none for undefined. */
  readonly layersOf: (root: Digest | undefined) => readonly LayerId[];
  readonly signal: AbortSignal;
  readonly nowMs: number;
  /** What the configs of the images get to share as a cache. */
  readonly inlineRecords?: readonly CachedRecord[];
  /** Where something is to be said about the images. */
  readonly attester: Attester | undefined;
}

/** The images of one target as an output wants them, with an index over them where there is to be one. */
export async function makeSet(
  { images, target }: TargetGraph,
  output: ImageOutput,
  context: ImageContext,
): Promise<ExportSet> {
  const { annotations, attest, indexed } = context.options;
  const attester = carriesAttestations(output, attest) ? context.attester : undefined;
  const form: Form = { output, format: attester === undefined ? formatOf(output) : 'oci' };
  const made: ExportImage[] = [];
  const attestations: ExportAttestation[] = [];
  // One after the other: each packs its layers side by side already.
  for (const planned of images) {
    const { image, layers } = await makeImage(planned, form, context);
    made.push(image);
    if (attester === undefined) continue;
    const names = target.names.map(({ normal }) => normal);
    attestations.push(
      await attester.manifest(
        { planned, layers, names, stage: target.stage, layersOf: context.layersOf },
        image,
        output,
      ),
    );
  }
  const [only] = made;
  if (only !== undefined && !indexed && attester === undefined) return { top: only.manifest, images: made };
  return assembleIndex(made, {
    index: annotationsOf(annotations, 'index'),
    descriptor: annotationsOf(annotations, 'index-descriptor'),
    format: form.format,
    attestations,
  });
}

interface Form {
  readonly output: ImageOutput;
  /** OCI's where there are attestations: Docker's lists know of none. */
  readonly format: ImageFormat;
}

async function makeImage(
  { platform, front }: PlannedImage,
  { output, format }: Form,
  context: ImageContext,
): Promise<{ readonly image: ExportImage; readonly layers: readonly LayerId[] }> {
  const { engine, options, layersOf, signal, nowMs } = context;
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
  const found = await Promise.all(packed.map((id) => engine.layers.blob(id, how, signal)));
  const blobs =
    output.preferNondistributable === true
      ? found
      : found.map((blob) => ({ ...blob, descriptor: distributable(blob.descriptor) }));
  const image = assembleResult(
    { ...front, config: configOf(front, packed, context) },
    {
      layers,
      blobs,
      rows: engine.rows,
      epochSec: options.epochSec,
      nowMs,
      platform,
      format,
      annotations: {
        manifest: annotationsOf(options.annotations, 'manifest', platform),
        descriptor: annotationsOf(options.annotations, 'manifest-descriptor', platform),
      },
    },
  );
  return { image, layers };
}

/** The cache that a base image carries is its own; this image gets one where that was asked for. */
function configOf(
  { config }: PlannedImage['front'],
  ids: readonly LayerId[],
  { engine, inlineRecords }: Pick<ImageContext, 'engine' | 'inlineRecords'>,
): ImageConfig {
  const own = withoutInlineCache(config);
  if (inlineRecords === undefined) return own;
  const createdMs = (id: LayerId): number | undefined => engine.rows.get(id)?.createdMs;
  return { ...own, ...inlineField({ salt: CACHE_SALT, records: inlineRecords }, { ids, createdMs }) };
}

/** How many layers, empty ones too, stand above the base's. */
function newLayers({ config, baseHistory }: PlannedImage['front']): number {
  const added = (config.history ?? []).slice(baseHistory);
  return added.filter((entry) => entry.empty_layer !== true).length;
}

function formatOf({ ociMediaTypes = true }: ImageOutput): ImageFormat {
  return ociMediaTypes ? 'oci' : 'docker';
}
