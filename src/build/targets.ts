import type { ExportSet } from '../exporter/types.ts';
import type { ImageConfig } from '../image/types.ts';
import type { BuildResult, PlatformProvenance } from './options.ts';
import type { NormalTarget } from './outputs/image-options.ts';

/** What one target gave. */
export interface BuiltTarget {
  readonly target: NormalTarget;
  /** Config of the image of the first platform. */
  readonly config: ImageConfig;
  /** Absent where no output is an image. */
  readonly set?: ExportSet;
  /** Where the caller wants it, for each platform. */
  readonly provenance?: readonly PlatformProvenance[];
}

/** The result of one target, as `build()` gives it. */
export function resultOf(
  { target, config, set, provenance }: BuiltTarget,
  counts: { readonly cached: number; readonly total: number },
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
          platforms: set.images.map(({ platform, manifest, configDescriptor }) => ({
            platform,
            descriptor: manifest,
            configDigest: configDescriptor.digest,
          })),
        }),
    config: first?.config ?? config,
    names: target.names.map(({ normal }) => normal),
    ...(provenance === undefined ? {} : { provenance }),
    cachedSteps: counts.cached,
    totalSteps: counts.total,
  };
}

/** The result of a whole build: that of its target, or of the last of several, with all of them beside it. */
export function resultOfAll(
  targets: readonly BuiltTarget[],
  counts: { readonly cached: number; readonly total: number },
): BuildResult {
  const results = targets.map((target) => resultOf(target, counts));
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
