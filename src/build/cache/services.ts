import type { createGhaReader } from '../../remotecache/gha/gha-cache.ts';
import type { createS3Reader } from '../../remotecache/s3/s3-cache.ts';
import { once } from '../../util/once.ts';
import type { CacheFrom, CacheTo } from './types.ts';

/** Services that keep blobs of shared caches; one for a build, so that connections and credentials are kept. */
export interface CacheServices {
  s3(): Promise<ReturnType<typeof createS3Reader>>;
  gha(): Promise<ReturnType<typeof createGhaReader>>;
}

export interface CacheServicesDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The caches that the running build was told of: their credentials are believed before those of `env`. */
  readonly caches: readonly (CacheFrom | CacheTo)[];
}

/** Modules are loaded when their service is asked for. */
export function createCacheServices({ env, caches }: CacheServicesDeps): CacheServices {
  return {
    s3: once(async () => {
      const { createS3Reader: create } = await import('../../remotecache/s3/s3-cache.ts');
      return create({ env, given: caches.filter((cache) => cache.type === 's3') });
    }),
    gha: once(async () => {
      const { createGhaReader: create } = await import('../../remotecache/gha/gha-cache.ts');
      return create({ env, given: caches.filter((cache) => cache.type === 'gha') });
    }),
  };
}
