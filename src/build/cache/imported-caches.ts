import type { LayerOrigin } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type {
  CachedLayer,
  CachedMount,
  CachedRecord,
  CacheImporter,
  LoadedCache,
} from '../../remotecache/types.ts';
import type { EventSink } from '../../solver/types.ts';
import type { InternalSteps } from '../internal-steps.ts';
import { CACHE_SALT } from '../version.ts';

/** Something of a cache, and where its blob can be had. */
export interface Placed<T> {
  readonly what: T;
  readonly origin: LayerOrigin;
}

/** What the caches of `--cache-from` hold, in memory. Of two that hold the same the first counts. */
export interface ImportedCaches {
  /** Waits until each of them was read or has failed. */
  ready(): Promise<void>;
  record(key: Digest): CachedRecord | undefined;
  layer(id: LayerId): Placed<CachedLayer> | undefined;
  mount(id: string, base: string): Placed<CachedMount> | undefined;
  mounts(): readonly Placed<CachedMount>[];
  /** Results of steps with this name. */
  previous(name: string): readonly CachedRecord[];
  /** Results of all steps. */
  results(): readonly CachedRecord[];
  /** A blob could not be had from where it should be; undefined: it is not what it should be. */
  forget(digest: Digest, origin?: LayerOrigin): void;
  /** Stops what is still read; nobody needs it any more. */
  stop(): Promise<void>;
}

export interface ImportDeps {
  readonly steps: InternalSteps;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}

/** Starts to read caches, side by side. One that cannot be read is a warning. */
export function importCaches(
  importers: readonly CacheImporter[],
  { steps, emit, signal }: ImportDeps,
): ImportedCaches {
  const records = new Map<Digest, CachedRecord>();
  const named = new Map<string, CachedRecord[]>();
  const layers = new Map<LayerId, Placed<CachedLayer>[]>();
  const mounts = new Map<string, Placed<CachedMount>>();
  const stopped = new AbortController();
  const either = AbortSignal.any([signal, stopped.signal]);

  const add = ({ config, origin }: LoadedCache): void => {
    for (const layer of config.layers) {
      layers.set(layer.id, [...(layers.get(layer.id) ?? []), { what: layer, origin }]);
    }
    for (const record of config.records) {
      if (records.has(record.key)) continue;
      records.set(record.key, record);
      if (record.kind === 'result') named.set(record.name, [...(named.get(record.name) ?? []), record]);
    }
    for (const mount of config.mounts ?? []) {
      const key = mountKey(mount.id, mount.base);
      if (!mounts.has(key)) mounts.set(key, { what: mount, origin });
    }
  };

  const load = async (importer: CacheImporter): Promise<readonly LoadedCache[]> => {
    try {
      return await steps.run(`importing cache manifest from ${importer.name}`, async () => {
        const found = await importer.load(either);
        if (found.length === 0) throw noCache(importer.name);
        const usable = found.filter(({ config }) => config.salt === CACHE_SALT);
        if (usable.length === 0) throw otherKeys(importer.name);
        return usable;
      });
    } catch (error) {
      if (!isOcibuildError(error)) throw error;
      if (either.aborted) return [];
      const message = `Cannot import the cache "${importer.name}", so steps are built without it: ${error.message}`;
      emit({ kind: 'warning', time: Date.now(), message });
      return [];
    }
  };
  const loading = importers.map(load);
  const loaded = Promise.all(loading).then((found) => {
    // In the order of the command line, whichever came first.
    for (const cache of found.flat()) add(cache);
  });
  loaded.catch(() => undefined);

  return {
    ready: () => loaded,
    record: (key) => records.get(key),
    layer: (id) => layers.get(id)?.[0],
    mount: (id, base) => mounts.get(mountKey(id, base)),
    mounts: () => [...mounts.values()],
    previous: (name) => named.get(name) ?? [],
    results: () => [...named.values()].flat(),
    forget(digest, origin) {
      const isLost = ({ what, origin: place }: Placed<CachedLayer | CachedMount>): boolean =>
        what.descriptor.digest === digest &&
        (origin === undefined || JSON.stringify(place) === JSON.stringify(origin));
      for (const [id, places] of layers) {
        if (places.some(isLost))
          layers.set(
            id,
            places.filter((each) => !isLost(each)),
          );
      }
      for (const [key, mount] of mounts) if (isLost(mount)) mounts.delete(key);
    },
    async stop() {
      stopped.abort(new OcibuildError('CANCELLED', 'Cannot read the cache: the build has ended'));
      await Promise.allSettled(loading);
    },
  };
}

function mountKey(id: string, base: string): string {
  return JSON.stringify([id, base]);
}

function otherKeys(name: string): OcibuildError {
  return new OcibuildError(
    'CACHE_INVALID',
    `Cannot use the cache "${name}": another version of ocibuild wrote it, whose keys mean other things`,
  );
}

function noCache(name: string): OcibuildError {
  return new OcibuildError('CACHE_INVALID', `Cannot use the cache "${name}": it holds none of ocibuild`, {
    hint: 'an image holds one when it was built with --cache-to type=inline',
  });
}
