import type { Readable } from 'node:stream';
import type { Compression, Descriptor, Digest, Platform } from '../image/types.ts';
import type { GrowingFile } from '../layer/growing-file.ts';
import type { LayerId } from '../layer/layer-id.ts';
import type { FileContent, Tree, TreeEntry } from '../layer/types.ts';

/** The directory that everything is kept in. Paths are absolute. */
export interface StoreRoot {
  readonly dir: string;
  /** `blobs/sha256` */
  readonly blobsDir: string;
  /** Unpacked layers: `snapshots/ID/fs`. 0700, for they hold set-uid files of strangers. */
  readonly snapshotsDir: string;
  readonly treesDir: string;
  /** Cache mounts. */
  readonly mountsDir: string;
  /** Bundles of running steps. */
  readonly runDir: string;
  readonly tmpDir: string;
  readonly trashDir: string;
  readonly databaseFile: string;
  readonly indexFile: string;
  /** Bundles whose process is dead. Their containers may still run: kill those, then `discard` the directory. */
  readonly leftBundles: readonly LeftBundle[];
  /** A fresh path in `tmp/` (nothing is made there); swept once this process is dead. */
  tempPath(): string;
  /** A fresh name for `run/`: the directory, and the id of its container. */
  bundle(): LeftBundle;
  /** Takes a file or directory out of the store at once (a rename into `trash/`). Missing ones are fine. */
  discard(path: string): void;
  /** Deletes what was discarded and what dead processes left. Directories are deleted by a child process
   * that outlives this one; with `wait` the promise resolves when all is gone. Call it when the build is done. */
  emptyTrash(options?: { readonly wait?: boolean }): Promise<void>;
}

export interface LeftBundle {
  /** Container id. */
  readonly id: string;
  readonly dir: string;
}

/** Blobs by digest. Everything is idempotent; a blob appears whole or not at all. */
export interface ContentStore {
  /** Where the blob is or would be. */
  path(digest: Digest): string;
  /** Size in bytes, or undefined when absent; it is kept for as long as this process needs it. The content is not
   * read. */
  stat(digest: Digest): number | undefined;
  /** As `stat`, for a blob that is kept for another reason, or need not be: a pruner may take it. */
  peek(digest: Digest): number | undefined;
  /** Stores small bytes; a damaged blob of that digest is replaced. @throws DISK_FULL, STORE_NOT_WRITABLE */
  putBytes(bytes: Uint8Array): { readonly digest: Digest; readonly size: number };
  /** A path to write a blob to before `ingest`. */
  tempFile(): string;
  /** Moves a finished file of `tempFile` into place; `digest` is what the writer computed. The temporary file
   * is gone afterwards in any case. @throws BLOB_SIZE_MISMATCH when the file has another size */
  ingest(tempFile: string, digest: Digest, size: number): void;
  /** Whole and verified. A damaged blob is removed. Not for layers.
   * @throws BLOB_NOT_FOUND, BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH when larger than `maxSize` bytes */
  readBytes(digest: Digest, maxSize: number): Buffer;
  /** Verified on the way: a bad blob ends with an error in place of `end`, and is removed.
   * @throws BLOB_NOT_FOUND, BLOB_SIZE_MISMATCH at once; the stream fails with BLOB_DIGEST_MISMATCH */
  openStream(descriptor: Pick<Descriptor, 'digest' | 'size'>): Readable;
  /** Removes a blob; true when it was there. */
  drop(digest: Digest): boolean;
  list(): readonly { readonly digest: Digest; readonly size: number }[];
}

export type SqlValue = string | number | null;

/** cache.db. Synchronous; statements are kept prepared. */
export interface Database {
  get(sql: string, ...params: readonly SqlValue[]): Readonly<Record<string, SqlValue>> | undefined;
  all(sql: string, ...params: readonly SqlValue[]): readonly Readonly<Record<string, SqlValue>>[];
  /** Number of changed rows. */
  run(sql: string, ...params: readonly SqlValue[]): number;
  /** Runs `body` while no other process writes. It may run more than once, so it does nothing but SQL and
   * what may be repeated. */
  transaction<T>(body: () => T): T;
  close(): void;
}

/** What is known of a layer. Which of its forms exist is said by `snapshot`, `hasTree` and `blobDigest`. */
export interface LayerRow {
  readonly id: LayerId;
  readonly diffId?: Digest;
  readonly blobDigest?: Digest;
  /** Bytes. */
  readonly blobSize?: number;
  readonly mediaType?: string;
  /** Of the blob's descriptor, where it came with an image. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Where its maker has the blob, for a layer that nobody else may distribute. */
  readonly urls?: readonly string[];
  /** Bytes of the uncompressed tar. */
  readonly tarSize?: number;
  /** Name in `snapshots/`. */
  readonly snapshot?: string;
  readonly hasTree: boolean;
  /** A chunk index of the blob is kept. */
  readonly hasChunkIndex: boolean;
  /** Where the blob can be fetched from; JSON-safe. */
  readonly origin?: unknown;
  readonly createdMs: number;
  readonly usedMs: number;
  /** Builds that have looked it up, one an hour at most. */
  readonly uses: number;
  /** What the snapshot takes on the disk, where that was measured. */
  readonly snapshotBytes?: number;
}

/** Fields of a layer to set; absent ones stay, `null` clears. */
export type LayerChange = {
  readonly [K in keyof Omit<LayerRow, 'id' | 'createdMs' | 'uses'>]?: LayerRow[K] | null;
} & {
  /** Of a layer that was made on another machine. */
  readonly createdMs?: number;
};

export interface LayerRows {
  get(id: LayerId): LayerRow | undefined;
  /** Makes the row when it is not there, and marks it used. */
  put(id: LayerId, change: LayerChange): void;
  /** Changes an existing row; false when there is none. */
  update(id: LayerId, change: LayerChange): boolean;
  delete(id: LayerId): boolean;
  /** By id. */
  list(): readonly LayerRow[];
  /** Layers that have this uncompressed digest; the last used first. */
  byDiffId(diffId: Digest): readonly LayerRow[];
  /** Layers whose blob this is, whether its bytes are here or can be fetched. */
  byBlob(digest: Digest): readonly LayerRow[];
}

/** A name in index.json. */
export interface TaggedImage {
  /** As the user writes it: `app:v0`. */
  readonly name: string;
  /** `docker.io/library/app:v0`; absent for names of other tools that are not image references. */
  readonly normalised?: string;
  readonly descriptor: Descriptor;
}

/** The tags of the store. Several processes may write at once; entries of other tools are kept. */
export interface ImageIndex {
  list(): readonly TaggedImage[];
  /** The image of that name (`app` means `app:latest`), or of that digest. Where a name stands several times the
   * one for `platform` is taken, else the last. */
  resolve(name: string, platform?: Platform): Descriptor | undefined;
  /** Points a name at a manifest or index that is in the store. `fetchedByBuild`: prune may take it away, unless the name
   * was given or pulled by somebody. */
  set(name: string, descriptor: Descriptor, options?: { readonly fetchedByBuild?: boolean }): void;
  /** Takes a name away, or all that lead to a digest; false when there was none. Blobs stay. */
  remove(name: string): boolean;
}

/** A layer that came with an image and can be had again from where it came. */
export interface BaseLayer {
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
  readonly origin: LayerOrigin | undefined;
}

/** Where the blob of a base layer or of a shared cache can be had again. JSON-safe: it is kept with the layer. */
export type LayerOrigin =
  | { readonly type: 'registry'; readonly name: string }
  | { readonly type: 'layout'; readonly dir: string }
  | {
      readonly type: 's3';
      readonly bucket: {
        readonly name: string;
        readonly region: string;
        readonly endpoint?: string;
        readonly pathStyle?: boolean;
      };
      /** What stands before the digest in the key of a blob. */
      readonly blobs: string;
    }
  /** The blobs of all caches of a repository; the environment says which one that is. */
  | { readonly type: 'gha' };

/** A blob on its way into the content store. */
export interface BlobFlight {
  /** Resolves when it is there, verified; rejects when nothing of it stays. */
  readonly done: Promise<void>;
  /** What has come of it and what follows, not verified: whoever reads it waits for `done` before it counts. */
  open(): GrowingFile & Disposable;
}

/** Starts to bring a blob into the content store. */
export type FetchBlob = (origin: LayerOrigin, descriptor: Descriptor, signal: AbortSignal) => BlobFlight;

/** Reads a blob from `offset` to its end; nothing of it is kept. @throws LAYER_UNAVAILABLE, REGISTRY_* */
export type ReadBlobEnd = (
  origin: LayerOrigin,
  descriptor: Descriptor,
  part: { readonly offset: number; readonly signal: AbortSignal },
) => Promise<Buffer>;

export interface LayerBlob {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly path: string;
}

export interface BlobOptions {
  readonly compression: Compression;
  readonly level?: number;
  /** Recompress a layer whose blob has another compression. */
  readonly force?: boolean;
  /** A layer whose blob is elsewhere and would stay as it is need not be fetched: its `path` leads nowhere. */
  readonly mayBeRemote?: boolean;
  /** A blob that is there already will do, whatever its compression; the rest says how a new one is packed. */
  readonly asIs?: boolean;
  readonly onProgress?: (bytes: number) => void;
}

/** A directory that a step asks for; steps that name the same `id` and `base` mean the same. */
export interface CacheMountWish {
  readonly id: string;
  /** What a new one starts from: seed, owner, mode. */
  readonly base: string;
  /** `shared`: together with others; `private`: another one while it is in use; `locked`: wait until it is free. */
  readonly sharing: 'shared' | 'private' | 'locked';
}

export interface CacheMounts {
  /**
   * Takes the directories of all wishes at once, so that steps which ask for the same ones in another order cannot
   * wait for each other. The same wish twice is one directory.
   * @throws CANCELLED, and what `fill` throws
   */
  acquire(wishes: readonly CacheMountWish[], options: CacheMountOptions): Promise<CacheMountLease>;
}

export interface CacheMountOptions {
  /** Start anew, once in a build for each id. */
  readonly anew: boolean;
  /** Fills the new, empty directory of a wish. Nobody else sees it before it is done. */
  fill(wish: CacheMountWish, dir: string): Promise<void>;
  readonly signal: AbortSignal;
}

export interface CacheMountLease {
  /** Paths, one for each wish. */
  readonly dirs: readonly string[];
  release(): void;
}

/** A place for a RUN to write to. */
export interface MutableLayer {
  readonly upper: string;
  readonly work: string;
  /** Makes it a layer; `EMPTY_LAYER` when nothing was changed. */
  commit(): Promise<LayerId>;
  discard(): Promise<void>;
}

export interface NewFilesLayer {
  readonly tree: Tree;
  readonly content: (entry: TreeEntry) => FileContent;
  /** Which forms are made now; one at least. */
  readonly snapshot: boolean;
  readonly blob: BlobOptions | undefined;
  /** Layers of earlier versions of the step, newest first: equal files and gzip members are taken from them. */
  readonly previous?: readonly LayerId[];
}

/** Layers in their three forms; each form is made at most once, when it is asked for, by the cheapest way. */
export interface LayerStore {
  /** Makes a base image's layer known; moves nothing. */
  addBase(layer: BaseLayer): LayerId;
  /** Steps are likely to run on these: who asks for the tree of one that is not here has it unpacked, for reading it
   * alone would mean to decompress it twice. */
  willMount(ids: readonly LayerId[]): void;
  /** True when at least one form is there or can be fetched. */
  available(id: LayerId): boolean;
  /** True when its directory is there, ready to be stacked. */
  hasSnapshot(id: LayerId): boolean;
  tree(id: LayerId, signal: AbortSignal): Promise<Tree>;
  /** Directory, overlay-ready. */
  snapshot(id: LayerId, signal: AbortSignal): Promise<string>;
  /** Path of a layer's file in its snapshot. */
  fileIn(snapshot: string, path: string): FileContent;
  blob(id: LayerId, options: BlobOptions, signal: AbortSignal): Promise<LayerBlob>;
  /** @param lower snapshots below, base first: the new root directory takes the attributes of theirs. */
  newMutable(lower: readonly string[]): MutableLayer;
  addFiles(layer: NewFilesLayer, signal: AbortSignal): Promise<LayerId>;
  /** Forgets a form whose bytes turned out wrong; the next use makes it again. */
  dropBlob(digest: Digest): void;
  /** Between builds: lets go of the trees in memory, but for those of base images, and of blobs that nobody asks for any
   * more. Who builds again and again would keep all. */
  forgetTrees(): void;
  /** Waits until nothing is fetched, unpacked or packed any more, however it ends. */
  settled(): Promise<void>;
}
