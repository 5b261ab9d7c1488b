import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';

/** Kinds of things in a store; the first six are BuildKit's. */
export type ItemType =
  /** Layers: of steps, of base images, of images that have lost their names. */
  | 'regular'
  /** What was seen of a build context. */
  | 'source.local'
  | 'source.git.checkout'
  | 'exec.cachemount'
  /** Records of finished builds, what is being written, logs. */
  | 'internal'
  | 'source.http'
  /** Manifests and configs of images that have a name, and blobs that only these know. */
  | 'image'
  | 'container'
  | 'volume';

/** One thing in a store that takes room. */
export interface DiskUsageItem {
  readonly id: string;
  readonly type: ItemType;
  /** Of a layer: which of its forms this is. */
  readonly form?: 'blob' | 'snapshot' | 'tree';
  /** The layer that this is a form of; all its forms say the same. */
  readonly layer?: string;
  /** Name of the step or of the image, or what else it is. */
  readonly description: string;
  /** Bytes on the disk: whole blocks; a file with several names counts once. */
  readonly bytes: number;
  /** An image that has a name holds the same content. */
  readonly shared: boolean;
  /** A process or a container works with it now. */
  readonly inUse: boolean;
  /** Prune can take it. */
  readonly reclaimable: boolean;
  readonly mutable: boolean;
  /** ms since the epoch. */
  readonly createdMs: number;
  readonly usedMs: number;
  /** Builds that have looked it up, one an hour at most. */
  readonly uses: number;
  /** Names of the images that it belongs to. */
  readonly images: readonly string[];
  /** The id of a cache mount. */
  readonly cacheMount?: string;
}

/** How an item is removed. */
export type Target =
  | { readonly kind: 'snapshot' | 'tree'; readonly layer: LayerId }
  | { readonly kind: 'blob'; readonly digest: Digest }
  /** A layer of which nothing is here. */
  | { readonly kind: 'row'; readonly layer: LayerId }
  | { readonly kind: 'mount'; readonly name: string }
  | { readonly kind: 'git'; readonly name: string }
  /** A file that can go at any time: it is read again, or made again. */
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'kept' };

export interface StoreItem extends DiskUsageItem {
  readonly target: Target;
}

/** Totals in bytes. */
export interface DiskUsage {
  readonly items: readonly DiskUsageItem[];
  readonly totalBytes: number;
  readonly reclaimableBytes: number;
  readonly sharedBytes: number;
  readonly inUseBytes: number;
}

/** One rule; several are applied in turn. */
export interface PrunePolicy {
  /** Also what images share, and internal records. */
  readonly all?: boolean;
  /** See `parseFilters`: `type=exec.cachemount`, `until=24h`. */
  readonly filters?: readonly string[];
  /** Only what was not used for so long, ms. */
  readonly keepDurationMs?: number;
  /** Bytes that are never gone below, whatever the others say. */
  readonly reservedSpace?: number;
  /** Bytes that the store may take. */
  readonly maxUsedSpace?: number;
  /** Bytes that are to be free on the disk. */
  readonly minFreeSpace?: number;
}

/** Bytes of the file system of the store. */
export interface DiskSpace {
  readonly total: number;
  readonly free: number;
}

/** When and how much a store is cleared by itself. */
export interface GcOptions {
  /** ms between two of them. @default 10 minutes */
  readonly intervalMs?: number;
  /** Bytes; a default of the disk each. */
  readonly reservedSpace?: number;
  readonly maxUsedSpace?: number;
  readonly minFreeSpace?: number;
  /** ms. @default 60 days */
  readonly keepDurationMs?: number;
}
