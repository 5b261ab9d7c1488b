import type { Digest, TarCompression } from '../image/types.ts';

export type EntryType =
  | 'file'
  | 'dir'
  | 'symlink'
  | 'hardlink'
  | 'char'
  | 'block'
  | 'fifo'
  /** Left behind by a RUN, for COPY to find: no archive holds one, so it stays out of blobs and exports. */
  | 'socket'
  | 'whiteout'
  | 'opaque';

/**
 * One change of a layer, in tree form. Canonical order of a layer: by path components (a directory directly
 * before its content), whiteouts before their siblings' additions where names tie; compare with `compareEntries`.
 */
export interface TreeEntry {
  /** No leading or trailing slash; `''` is the root directory. Bytes that are not UTF-8 stand as lone
   * surrogates U+DC80–U+DCFF (`path-bytes.ts`). A whiteout's path is the hidden path, an opaque's its directory. */
  readonly path: string;
  readonly type: EntryType;
  /** 0–07777. 0 for whiteout and opaque. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file's content; 0 otherwise. */
  readonly size: number;
  /** Whole seconds since the epoch (floor); fractions are dropped as Docker does. */
  readonly mtimeSec: number;
  /** symlink: its text. hardlink: the path (in this layer, sorted earlier) it shares its inode with. */
  readonly link?: string;
  /** Name → value bytes in base64. */
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly devMajor?: number;
  readonly devMinor?: number;
  /** file: SHA-256 of its content, where it is known. */
  readonly digest?: Digest;
}

/** A file system tree's changes in canonical order. */
export type Tree = readonly TreeEntry[];

/** Where the bytes of a file entry are read from, and what it looked like when it was listed. */
export interface FileContent {
  /** Path for node:fs; a Buffer where the name is not UTF-8. */
  readonly path: string | Buffer;
  /** When given, a file whose mtime differs before or after reading makes packing fail. Milliseconds. */
  readonly mtimeMs?: number;
}

/** Member index of a gzip blob: lets the next version of a layer copy unchanged members. */
export interface ChunkIndex {
  /** zlib version, level and format; members are reused only when equal. */
  readonly codec: string;
  readonly chunks: readonly {
    /** Digest over headers and file digests of the chunk. */
    readonly key: string;
    readonly offset: number;
    readonly compressedSize: number;
    readonly size: number;
    /** CRC-32 of the member as stored: a damaged one is made anew, never copied. */
    readonly crc: number;
    /** State of the diffID's SHA-256 after the chunk, in hex; spares reading an unchanged beginning again. */
    readonly state?: string;
  }[];
}

export interface PackOptions {
  readonly compression: TarCompression;
  /** gzip 0–9 (default 4), zstd 0–22 (default 3). */
  readonly level?: number;
  /** Where the blob is written; must not exist. */
  readonly dest: string;
  /** The bytes of a file entry. */
  readonly content: (entry: TreeEntry) => FileContent;
  /** Blobs of earlier versions whose members may be reused. */
  readonly previous?: readonly { readonly blob: string; readonly index: ChunkIndex }[];
  readonly signal: AbortSignal;
  /** Bytes of tar done so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface PackedLayer {
  readonly diffId: Digest;
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** Bytes of the tar. */
  readonly tarSize: number;
  readonly mediaType: string;
  /** The entries given, with the digest of every file filled in. */
  readonly tree: Tree;
  readonly index?: ChunkIndex;
}

export interface UnpackedLayer {
  readonly diffId: Digest;
  /** Bytes of the tar. */
  readonly tarSize: number;
  /** In canonical order, file digests included. */
  readonly tree: Tree;
}
