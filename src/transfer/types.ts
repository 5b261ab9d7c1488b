import type { Descriptor } from '../image/types.ts';
import type { OpenPart } from '../registry/types.ts';

/** Where the content of an image is read from: a registry, the store, a layout, an archive. */
export interface ContentSource {
  /** A manifest, an index or a config: whole and verified. */
  readBytes(descriptor: Descriptor, signal: AbortSignal): Promise<Buffer>;
  blob(descriptor: Descriptor, signal: AbortSignal): SourceBlob;
  /** What is known to have this manifest or index as its subject. */
  referrers?(descriptor: Descriptor, signal: AbortSignal): Promise<readonly Descriptor[]>;
}

export interface SourceBlob {
  /** Opens a part; the bytes may have to be brought here first. */
  readonly open: OpenPart;
  /** A file that is the blob: the fast way to its bytes. Missing where they are elsewhere, or a part of a file. */
  readonly file?: string;
  /** The registry that the bytes come from, which is at fault itself when they are not those it promised. */
  readonly registry?: string;
  /** A repository of that registry which may have the blob as well. */
  mountFrom(registry: string): string | undefined;
}

/** Where the content of an image is written to. */
export interface ContentTarget {
  /** Parts are put one after the other, in the order of the documents: into one stream. @default false */
  readonly inOrder?: boolean;
  putBlob(descriptor: Descriptor, blob: SourceBlob, options: PutOptions): Promise<PutResult>;
  /** A manifest or an index; what it refers to has been put before. */
  putDocument(descriptor: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void>;
}

/**
 * Writes one image: `fill` puts all its parts, then the image gets its name. Where that fails, nothing of it stays
 * under a name.
 */
export type ImageTarget = (top: Descriptor, fill: (to: ContentTarget) => Promise<void>) => Promise<void>;

export type PutResult = 'exists' | 'mounted' | 'copied';

export interface PutOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** One blob or document of a transfer, as progress shows it. */
export interface TransferEvent {
  readonly descriptor: Descriptor;
  /** Bytes that are there; equals `descriptor.size` at the end. */
  readonly current: number;
  readonly result?: PutResult;
}
