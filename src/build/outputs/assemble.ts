import type { LayerBlob, LayerRows } from '../../cache/types.ts';
import { assembleImage } from '../../exporter/image-writer.ts';
import type { ExportImage } from '../../exporter/types.ts';
import type { FrontendResult } from '../../frontend/types.ts';
import { finishConfig, formatTime } from '../../image/config.ts';
import type { ImageFormat } from '../../image/media-types.ts';
import type { History, ImageConfig, Platform } from '../../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';

export interface AssembleOptions {
  /** All layers of the result, base first, `EMPTY_LAYER` for steps that changed nothing. */
  readonly layers: readonly LayerId[];
  /** Blobs of the layers that are not empty, in the same order. */
  readonly blobs: readonly LayerBlob[];
  readonly rows: LayerRows;
  readonly epochSec: number | undefined;
  readonly nowMs: number;
  /** What the image was asked for. */
  readonly platform: Platform;
  /** Whose media types. @default oci */
  readonly format?: ImageFormat;
  /** Of the manifest and of its descriptor. */
  readonly annotations: { readonly manifest: Annotations; readonly descriptor: Annotations };
}

type Annotations = Readonly<Record<string, string>>;

/** Config and manifest of a built image. Times are those of the layers, not of this build: an image built again
 * from the cache is the same image. */
export function assembleResult(front: FrontendResult, options: AssembleOptions): ExportImage {
  const { blobs, annotations, platform, format = 'oci' } = options;
  const { config, created } = datedConfig(front, options);
  const finished = finishConfig(config, {
    diffIds: blobs.map(({ diffId }) => diffId),
    created,
    baseHistory: front.baseHistory,
  });
  const image = assembleImage({
    layers: blobs.map(({ descriptor }) => descriptor),
    config: finished,
    annotations: annotations.manifest,
    descriptorAnnotations: annotations.descriptor,
    platform,
    format,
  });
  return {
    ...image,
    layers: blobs.map(({ descriptor, path }) => ({ descriptor, blobPath: path })),
  };
}

/** Gives each new history entry its time and says which steps changed nothing. */
function datedConfig(
  front: FrontendResult,
  options: AssembleOptions,
): { config: ImageConfig; created: Date } {
  const { config, baseHistory } = front;
  const history = config.history ?? [];
  const added = history.slice(baseHistory);
  const own = options.layers.slice(
    options.layers.length - added.filter((entry) => entry.empty_layer !== true).length,
  );
  const times = own.map((id) => (id === EMPTY_LAYER ? undefined : options.rows.get(id)?.createdMs));
  // As in Docker: what stands before the first new layer has its time; without one nothing is newer than the base.
  let last = times.find((time) => time !== undefined) ?? baseTime(config, baseHistory) ?? options.nowMs;
  let next = 0;
  const dated = added.map((entry): History => {
    const isEmpty = entry.empty_layer === true || own[next] === EMPTY_LAYER;
    if (entry.empty_layer !== true) last = times[next++] ?? last;
    const created = formatTime(new Date(options.epochSec === undefined ? last : options.epochSec * 1000));
    return { ...entry, created, ...(isEmpty ? { empty_layer: true } : {}) };
  });
  return {
    config: { ...config, history: [...history.slice(0, baseHistory), ...dated] },
    created: new Date(options.epochSec === undefined ? last : options.epochSec * 1000),
  };
}

/** When the base image was made, ms since the epoch. */
function baseTime({ created, history = [] }: ImageConfig, baseHistory: number): number | undefined {
  const newest = history.slice(0, baseHistory).findLast((entry) => entry.created !== undefined);
  const time = Date.parse(newest?.created ?? created ?? '');
  return Number.isNaN(time) ? undefined : time;
}
