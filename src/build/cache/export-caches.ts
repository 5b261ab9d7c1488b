import type { CacheMounts } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { documentKind } from '../../image/manifest.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { Definition } from '../../llb/definition.ts';
import {
  CACHE_CONFIG_TYPE,
  type CacheConfig,
  type CachedRecord,
  type CacheExporter,
} from '../../remotecache/types.ts';
import type { CacheStore, EventSink } from '../../solver/types.ts';
import type { Engine } from '../engine.ts';
import { storeContent } from '../images/store-content.ts';
import type { InternalStep, InternalSteps } from '../internal-steps.ts';
import { CACHE_SALT } from '../version.ts';
import type { PlacedCache } from './backends.ts';
import { collectRecords, packLayers, recordsWithin } from './collect.ts';
import type { ImportedCaches } from './imported-caches.ts';
import { mountIds, packMounts } from './shared-mounts.ts';

/** One `--cache-to`. */
export interface CacheTarget {
  readonly option: PlacedCache;
  readonly exporter: CacheExporter;
}

export interface ExportCachesDeps {
  readonly engine: Engine;
  readonly steps: InternalSteps;
  readonly emit: EventSink;
  readonly keys: CacheStore;
  readonly cacheMounts: CacheMounts;
  readonly imported: ImportedCaches;
  readonly definition: Definition;
  readonly signal: AbortSignal;
}

export interface CacheContents {
  /** Of all steps that the build has. */
  readonly definitionKeys: readonly Digest[];
  /** Layers of the images; undefined: there is no image, and every record counts. */
  readonly imageLayers: readonly LayerId[] | undefined;
}

/** What Docker calls the places. */
const STEP_NAMES: Readonly<Record<PlacedCache['type'], string>> = {
  registry: 'exporting cache to registry',
  local: 'exporting cache to client directory',
  s3: 'exporting cache to Amazon S3',
  gha: 'exporting to GitHub Actions Cache',
};

/**
 * Writes caches, one after the other.
 * @throws what the places throw, where an option does not say that errors are ignored
 */
export async function exportCaches(
  targets: readonly CacheTarget[],
  contents: CacheContents,
  deps: ExportCachesDeps,
): Promise<void> {
  for (const target of targets) {
    const { option, exporter } = target;
    try {
      await deps.steps.run(STEP_NAMES[option.type], (step) =>
        exportCache(target, contents, { ...deps, step }),
      );
    } catch (error) {
      if (deps.signal.aborted || option.ignoreError !== true || !isOcibuildError(error)) {
        throw exportFailure(error, exporter.name);
      }
      const message = `Cannot export the cache "${exporter.name}": ${error.message}`;
      deps.emit({ kind: 'warning', time: Date.now(), message });
    }
  }
}

async function exportCache(
  { option, exporter }: CacheTarget,
  { definitionKeys, imageLayers }: CacheContents,
  deps: ExportCachesDeps & { readonly step: InternalStep },
): Promise<void> {
  const { engine, keys, signal, step } = deps;
  const all = await collectRecords(definitionKeys, keys);
  const isWhole = option.mode === 'max' || imageLayers === undefined;
  const records = isWhole ? all : recordsWithin(all, imageLayers);
  const mounts = await packMounts(wantedMounts(option, deps.definition), deps);
  try {
    const config = await makeConfig(records, { ...deps, option, mounts: mounts.mounts });
    step.done('preparing build cache for export');
    await exporter.write(config, {
      from: storeContent(engine, mounts.origins),
      signal,
      onProgress(descriptor, bytes) {
        step.status(`writing ${whatIs(descriptor)} ${descriptor.digest}`, bytes, descriptor.size);
      },
    });
  } finally {
    mounts.discard();
  }
}

function whatIs({ mediaType }: Descriptor): string {
  if (mediaType === CACHE_CONFIG_TYPE) return 'config';
  return documentKind(mediaType) === undefined ? 'layer' : 'cache manifest';
}

async function makeConfig(
  records: readonly CachedRecord[],
  {
    engine,
    option,
    signal,
    mounts,
  }: ExportCachesDeps & { readonly option: PlacedCache; readonly mounts: NonNullable<CacheConfig['mounts']> },
): Promise<CacheConfig> {
  const layers = await packLayers(records, engine, { form: option, signal });
  return { salt: CACHE_SALT, layers, records, ...(mounts.length === 0 ? {} : { mounts }) };
}

function wantedMounts({ mounts = [] }: PlacedCache, definition: Definition): readonly string[] {
  return [...new Set(mounts.flatMap((id) => (id === '*' ? mountIds(definition) : [id])))].sort();
}

/** A registry's own words, hints and exit code stay; what else went wrong is told as a failed export. */
function exportFailure(error: unknown, name: string): unknown {
  if (!isOcibuildError(error)) return error;
  if (['registry', 'network', 'cancelled', 'environment', 'internal'].includes(error.category)) return error;
  return new OcibuildError('CACHE_EXPORT_FAILED', `Cannot export the cache "${name}": ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: error.details,
  });
}
