import type { LayerOrigin } from '../cache/types.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import type { Ingredient } from '../solver/types.ts';
import type { ContentSource } from '../transfer/types.ts';

/** Media type of a cache's config document. */
export const CACHE_CONFIG_TYPE = 'application/vnd.ocibuild.cacheconfig.v1+json';

/**
 * What a cache says: the records of steps, and the layers that they name. The same content is the same bytes: layers and
 * mounts are sorted by id, records by key.
 */
export interface CacheConfig {
  /** Version of keys and layers; a cache of another one holds nothing for us. */
  readonly salt: string;
  readonly layers: readonly CachedLayer[];
  readonly records: readonly CachedRecord[];
  /** Cache mounts that travel along. */
  readonly mounts?: readonly CachedMount[];
}

/** A layer that a step made. Layers of base images are not among them: whoever has the key of a record has resolved
 * the base image, and so knows where its layers are. */
export interface CachedLayer {
  readonly id: LayerId;
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
  /** Bytes of the uncompressed tar. */
  readonly tarSize?: number;
  /** When the layer was made, ms since the epoch: the time of its line in an image's history. */
  readonly createdMs?: number;
}

export interface CachedRecord {
  readonly key: Digest;
  readonly kind: 'definition' | 'result';
  /** Ids of `layers`, of base images' layers, or `EMPTY_LAYER`. */
  readonly layers: readonly LayerId[];
  readonly name: string;
  /** Values are shortened digests: a cache tells what changed, but no values of variables. */
  readonly ingredients: readonly Ingredient[];
}

/** The content of one cache mount as a layer blob. */
export interface CachedMount {
  readonly id: string;
  /** What it was started from: see `CacheMountWish.base`. */
  readonly base: string;
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
}

/** Where a cache is read from. */
export interface CacheImporter {
  /** For messages: `registry.example/app:cache`. Without credentials. */
  readonly name: string;
  /** One config for each cache that is kept there (several platforms, several scopes); none where nothing is.
   * @throws REGISTRY_*, CACHE_* */
  load(signal: AbortSignal): Promise<readonly LoadedCache[]>;
}

export interface LoadedCache {
  readonly config: CacheConfig;
  /** Where the blobs of the config's layers can be had later, also by another build that knows no flags. */
  readonly origin: LayerOrigin;
}

/** Where a cache is written to. */
export interface CacheExporter {
  readonly name: string;
  /**
   * Puts the blobs that are not there yet, then the config: a cache that was there before stays whole until then.
   * @throws REGISTRY_*, CACHE_*
   */
  write(config: CacheConfig, options: CacheWriteOptions): Promise<void>;
}

export interface CacheWriteOptions {
  /** Blobs of the config's layers and mounts; a blob whose bytes are elsewhere is fetched only when it must move. */
  readonly from: ContentSource;
  readonly signal: AbortSignal;
  readonly onProgress: (descriptor: Descriptor, bytes: number) => void;
}

/** A cache in a bucket of S3, or of a service that speaks its protocol. */
export interface S3CacheOptions {
  /** @default AWS_BUCKET */
  readonly bucket?: string;
  /** @default AWS_REGION, AWS_DEFAULT_REGION, then the profile's */
  readonly region?: string;
  /** Before the two other prefixes. */
  readonly prefix?: string;
  /** @default blobs/ */
  readonly blobsPrefix?: string;
  /** @default manifests/ */
  readonly manifestsPrefix?: string;
  /** One or more, with ";" between them: all are read, all are written. @default ocibuild */
  readonly name?: string;
  /** Of a service that is not AWS. @default AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL */
  readonly endpointUrl?: string;
  /** `https://HOST/BUCKET/KEY` instead of `https://BUCKET.HOST/KEY`. @default false */
  readonly usePathStyle?: boolean;
  /** Needs `secretAccessKey`. @default what AWS's own tools find in the environment */
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  /** Blobs that are older are made young again when a cache still needs them, as Go writes a duration. @default 24h */
  readonly touchRefresh?: string;
  /** Parts that are sent at once; each is 8 MiB in memory. @default 4 */
  readonly uploadParallelism?: number;
  /** @default 3 */
  readonly retryMaxAttempts?: number;
}

/** A cache in GitHub's cache service. */
export interface GhaCacheOptions {
  /** Of the first protocol. @default ACTIONS_CACHE_URL */
  readonly url?: string;
  /** Of the second protocol. @default ACTIONS_RESULTS_URL */
  readonly urlV2?: string;
  /** 1 or 2. @default 2 where ACTIONS_CACHE_SERVICE_V2 is set or there is no address of the first */
  readonly version?: number;
  /** @default ACTIONS_RUNTIME_TOKEN */
  readonly token?: string;
  /** Caches of one repository and branch that do not replace each other. @default ocibuild */
  readonly scope?: string;
  /** Of the whole import or export, as Go writes a duration. @default 10m */
  readonly timeout?: string;
}
