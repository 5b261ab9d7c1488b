import type { Descriptor, ImageConfig, Platform } from '../image/types.ts';
import type { Tree } from '../layer/types.ts';

/** A finished image whose blobs can be read. Descriptors are final. */
export interface ExportImage {
  readonly manifest: Descriptor;
  readonly manifestBytes: Buffer;
  readonly configDescriptor: Descriptor;
  readonly configBytes: Buffer;
  readonly config: ImageConfig;
  readonly platform: Platform;
  readonly layers: readonly ExportLayer[];
}

/** What an image output writes: one image, or an index over one image for each platform. */
export interface ExportSet {
  /** Descriptor of the index, else of the only image's manifest. */
  readonly top: Descriptor;
  /** Bytes of the index. */
  readonly index?: Buffer;
  /** In the order of the index. */
  readonly images: readonly ExportImage[];
  /** What is said about the images; in the index after them. */
  readonly attestations?: readonly ExportAttestation[];
}

/** All that is said about one image: a manifest whose layers are the statements. */
export interface ExportAttestation {
  readonly manifest: Descriptor;
  readonly manifestBytes: Buffer;
  readonly configDescriptor: Descriptor;
  readonly configBytes: Buffer;
  readonly layers: readonly { readonly descriptor: Descriptor; readonly bytes: Buffer }[];
}

export interface ExportLayer {
  readonly descriptor: Descriptor;
  /** File with the blob's bytes, in the store. */
  readonly blobPath: string;
}

/** Gives the merged file system for `local` and `tar` outputs. Entries in canonical order, whiteouts applied. */
export interface ExportTree {
  readonly tree: Tree;
  /** File with the bytes of a file entry. */
  content(path: string): string | Buffer;
}

export interface ExportOptions {
  readonly signal: AbortSignal;
  /** Names to give the image (`-t`), normalised. */
  readonly names: readonly string[];
  /** Created annotation, outer archive times, and times of all files of `local` and `tar`. Seconds. */
  readonly epochSec?: number;
  /** `local`: files get the owners they have in the image, which takes root. @default only as root */
  readonly keepOwners?: boolean;
  /** `local`: what the tree does not hold is removed. @default false */
  readonly removeOthers?: boolean;
  readonly onProgress?: (id: string, current: number, total?: number) => void;
}
