import type { Compression } from '../../image/types.ts';
import type { GhaCacheOptions, S3CacheOptions } from '../../remotecache/types.ts';

/** A cache to read from. */
export type CacheFrom =
  | {
      readonly type: 'registry';
      /** A cache, or an image that holds one (`inline`). */
      readonly ref: string;
    }
  | {
      readonly type: 'local';
      /** An OCI layout directory. */
      readonly src: string;
      /** @default latest */
      readonly tag?: string;
      /** Of the cache's manifest, instead of a tag. */
      readonly digest?: string;
    }
  | ({ readonly type: 's3' } & S3CacheOptions)
  | ({ readonly type: 'gha' } & GhaCacheOptions);

/** A cache to write to. */
export type CacheTo =
  | ({ readonly type: 'registry'; readonly ref: string } & CacheDocuments & CacheContent)
  | ({
      readonly type: 'local';
      /** An OCI layout directory; one that is there is added to. */
      readonly dest: string;
      /** @default latest */
      readonly tag?: string;
      /** Drop the blobs that no tag of the layout needs any more. @default false */
      readonly reset?: boolean;
    } & CacheDocuments &
      CacheContent)
  | ({ readonly type: 's3' } & S3CacheOptions & CacheContent)
  | ({ readonly type: 'gha' } & GhaCacheOptions & CacheContent)
  /** In the config of the image that is built: the layers of the image only. */
  | {
      readonly type: 'inline';
      /** There is only `min`: `max` has no effect. */
      readonly mode?: 'min' | 'max';
    };

/** What goes into a cache; the same for every kind of place. */
export interface CacheContent {
  /** `min`: the layers of the images; `max`: those of every step. @default min */
  readonly mode?: 'min' | 'max';
  /** A cache that cannot be written is a warning. @default false */
  readonly ignoreError?: boolean;
  /** Also when the build fails: what its finished steps made. @default false */
  readonly onFailure?: boolean;
  /** Ids of cache mounts that travel along; `*` stands for all that the build has. */
  readonly mounts?: readonly string[];
  /** Of layers that are not packed yet. @default gzip */
  readonly compression?: Compression;
  readonly compressionLevel?: number;
  /** Pack layers anew that have another compression. @default false */
  readonly forceCompression?: boolean;
}

/** The form of a cache that is kept like an image. */
export interface CacheDocuments {
  /** A manifest whose layers are the blobs, instead of an index that lists them. @default true */
  readonly imageManifest?: boolean;
  /** OCI's media types instead of Docker's. @default true */
  readonly ociMediaTypes?: boolean;
}
