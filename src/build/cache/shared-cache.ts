import type { CacheMounts, LayerOrigin } from '../../cache/types.ts';
import { isOcibuildError } from '../../errors/error.ts';
import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { Definition } from '../../llb/definition.ts';
import type { CachedRecord } from '../../remotecache/types.ts';
import type { CacheStore, EventSink } from '../../solver/types.ts';
import type { Engine } from '../engine.ts';
import type { InternalSteps } from '../internal-steps.ts';
import type { NormalOptions } from '../normalise.ts';
import { openExporter, openImporter } from './backends.ts';
import { collectRecords } from './collect.ts';
import { type CacheTarget, exportCaches } from './export-caches.ts';
import { importCaches } from './imported-caches.ts';
import { createSharedKeys } from './shared-keys.ts';
import { restoringMounts } from './shared-mounts.ts';

/** What `--cache-from` and `--cache-to` mean to one build. Dispose of it when the build has ended. */
export interface SharedCache extends AsyncDisposable {
  /** The store's records and those of other machines. */
  readonly keys: CacheStore;
  mounts(cacheMounts: CacheMounts): CacheMounts;
  /** Records for the configs of the images; undefined where none was asked for. */
  inlineRecords(build: SolvedGraph): Promise<readonly CachedRecord[] | undefined>;
  /** Makes what was imported for the build's steps the store's own, also for steps below the hit: a later build that
   * changes one of them may know no other cache. */
  adopt(build: SolvedGraph): Promise<void>;
  /** After the outputs. @throws REGISTRY_*, CACHE_* */
  write(build: SolvedGraph, imageLayers: readonly LayerId[]): Promise<void>;
  /** What the finished steps of a failed build made, where that was asked for. Failures are warnings. */
  writeFinished(build: SolvedGraph): Promise<void>;
  /** A blob is not where it should be; undefined: it is nowhere what it should be. */
  forget(digest: Digest, origin?: LayerOrigin): void;
}

export interface SolvedGraph {
  readonly definition: Definition;
  /** Definition keys of all its steps. */
  keys(): Promise<readonly Digest[]>;
  readonly cacheMounts: CacheMounts;
}

export interface SharedCacheDeps {
  readonly engine: Engine;
  readonly steps: InternalSteps;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}

/** Starts to read the caches; whoever looks a key up waits for them. @throws USAGE_INVALID, REFERENCE_INVALID */
export async function openSharedCache(
  { cacheFrom = [], cacheTo = [], env, cwd }: NormalOptions,
  deps: SharedCacheDeps,
): Promise<SharedCache> {
  const { engine, emit } = deps;
  const places = { registry: engine.registry, env, cwd };
  const importers = await Promise.all(cacheFrom.map((option) => openImporter(option, places)));
  const targets: CacheTarget[] = [];
  for (const option of cacheTo) {
    if (option.type !== 'inline') targets.push({ option, exporter: await openExporter(option, places) });
  }
  const isInline = cacheTo.some(({ type }) => type === 'inline');
  const imported = importCaches(importers, deps);
  const keys = createSharedKeys({ ...engine, imported });

  const write = async (
    wanted: readonly CacheTarget[],
    build: SolvedGraph,
    imageLayers: readonly LayerId[] | undefined,
  ): Promise<void> => {
    if (wanted.length === 0) return;
    await imported.ready();
    const { definition, cacheMounts } = build;
    const contents = { definitionKeys: await build.keys(), imageLayers };
    await exportCaches(wanted, contents, { ...deps, definition, cacheMounts, keys, imported });
  };

  return {
    keys,
    mounts: (cacheMounts) => restoringMounts(cacheMounts, { engine, imported, emit }),
    inlineRecords: async (build) => (isInline ? collectRecords(await build.keys(), keys) : undefined),
    async adopt(build) {
      if (importers.length > 0) await collectRecords(await build.keys(), keys);
    },
    write: (build, imageLayers) => write(targets, build, imageLayers),
    async writeFinished(build) {
      for (const target of targets.filter(({ option }) => option.onFailure === true)) {
        try {
          await write([target], build, undefined);
        } catch (error) {
          if (isOcibuildError(error) && error.category === 'cancelled') return;
          const why = error instanceof Error ? error.message : String(error);
          const message = `Cannot export the cache of the finished steps to "${target.exporter.name}": ${why}`;
          emit({ kind: 'warning', time: Date.now(), message });
        }
      }
    },
    forget: imported.forget,
    [Symbol.asyncDispose]: imported.stop,
  };
}
