import { statSync } from 'node:fs';
import type { ExportLayer, ExportSet } from '../exporter/types.ts';
import type { ImageConfig } from '../image/types.ts';
import type { BuildResult, ImageLayer, PlatformProvenance } from './options.ts';
import type { NormalTarget } from './outputs/image-options.ts';

/** What one target gave. */
export interface BuiltTarget {
  readonly target: NormalTarget;
  /** Config of the image of the first platform. */
  readonly config: ImageConfig;
  /** Absent where no output is an image. */
  readonly set?: ExportSet;
  /** Files and directories that outputs wrote. */
  readonly written: readonly string[];
  /** Where the caller wants it, for each platform. */
  readonly provenance?: readonly PlatformProvenance[];
}

/** What a build as a whole can tell. */
export interface BuildFacts {
  /** Steps found in the cache, and steps in all. */
  readonly cached: number;
  readonly total: number;
  /** Ms since the epoch. */
  readonly startedMs: number;
}

/** The result of one target, as `build()` gives it. */
export function resultOf(
  { target, config, set, written, provenance }: BuiltTarget,
  facts: BuildFacts,
): BuildResult {
  const [first] = set?.images ?? [];
  return {
    ...(set === undefined
      ? {}
      : {
          digest: set.top.digest,
          descriptor: set.top,
          ...(set.index === undefined && first !== undefined
            ? { configDigest: first.configDescriptor.digest }
            : {}),
          platforms: set.images.map(({ platform, manifest, configDescriptor, layers }) => ({
            platform,
            descriptor: manifest,
            configDigest: configDescriptor.digest,
            layers: layers.map((layer) => layerOf(layer, facts.startedMs)),
          })),
        }),
    config: first?.config ?? config,
    names: target.names.map(({ normal }) => normal),
    ...(written.length === 0 ? {} : { written }),
    ...(provenance === undefined ? {} : { provenance }),
    cachedSteps: facts.cached,
    totalSteps: facts.total,
  };
}

function layerOf({ descriptor: { digest, size }, blobPath }: ExportLayer, startedMs: number): ImageLayer {
  const madeMs = statSync(blobPath, { throwIfNoEntry: false })?.mtimeMs;
  return { digest, size, reused: madeMs !== undefined && madeMs < startedMs };
}

/** The result of a whole build: that of its target, or of the last of several, with all of them beside it. */
export function resultOfAll(targets: readonly BuiltTarget[], facts: BuildFacts): BuildResult {
  const results = targets.map((target) => resultOf(target, facts));
  const last = results.at(-1) as BuildResult;
  if (results.length === 1) return last;
  const { config, cachedSteps, totalSteps } = last;
  return {
    config,
    cachedSteps,
    totalSteps,
    names: results.flatMap(({ names }) => names),
    targets: Object.fromEntries(
      targets.map(({ target }, i) => [target.stage ?? '', results[i] as BuildResult]),
    ),
  };
}
