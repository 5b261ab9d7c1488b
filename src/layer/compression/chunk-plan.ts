import { hash } from 'node:crypto';
import { encodeHeader, padded } from '../tar/tar-header.ts';
import type { Tree, TreeEntry } from '../types.ts';

/** One piece of the archive: whole entries, or a range of one entry that is larger than a chunk may be. */
export interface Chunk {
  /** Index of the first entry in the tree. */
  readonly first: number;
  readonly entries: readonly TreeEntry[];
  readonly headers: readonly Buffer[];
  /** Where the chunk begins in the bytes of its entries: 0 but for the later pieces of a large entry. */
  readonly start: number;
  /** Bytes of tar. */
  readonly size: number;
  /** True when the last entry ends here. */
  readonly complete: boolean;
}

export interface ChunkLimits {
  /** From here on a chunk may end, where an entry's name says so. */
  readonly min: number;
  /** No chunk is larger. */
  readonly max: number;
}

/** Bytes that an entry takes in the archive. */
export function entrySize(entry: TreeEntry, header: Buffer): number {
  return header.length + (entry.type === 'file' ? padded(entry.size) : 0);
}

/**
 * Cuts an archive where its names say so, never where time or order of work would: the same tree gives the same
 * chunks, and a change moves the cuts only up to the next name that ends a chunk.
 */
export function* planChunks(tree: Tree, limits: ChunkLimits): Generator<Chunk> {
  let first = 0;
  let entries: TreeEntry[] = [];
  let headers: Buffer[] = [];
  let size = 0;
  const flush = function* (next: number): Generator<Chunk> {
    if (entries.length > 0) yield { first, entries, headers, start: 0, size, complete: true };
    first = next;
    entries = [];
    headers = [];
    size = 0;
  };
  for (const [index, entry] of tree.entries()) {
    const header = encodeHeader(entry);
    const length = entrySize(entry, header);
    if (size + length > limits.max) yield* flush(index);
    if (length > limits.max) {
      for (let start = 0; start < length; start += limits.max) {
        const piece = Math.min(limits.max, length - start);
        yield {
          first: index,
          entries: [entry],
          headers: [header],
          start,
          size: piece,
          complete: start + piece === length,
        };
      }
      first = index + 1;
      continue;
    }
    entries.push(entry);
    headers.push(header);
    size += length;
    if (size >= limits.min && endsChunk(entry.path)) yield* flush(index + 1);
  }
  yield* flush(tree.length);
}

/** Digest over everything that decides a chunk's bytes; undefined while a file's digest is not known. */
export function chunkKey(chunk: Chunk, digestOf: (index: number) => string | undefined): string | undefined {
  const parts: Buffer[] = [];
  for (const [i, header] of chunk.headers.entries()) {
    parts.push(header);
    const entry = chunk.entries[i] as TreeEntry;
    if (entry.type !== 'file' || entry.size === 0) continue;
    const digest = digestOf(chunk.first + i);
    if (digest === undefined) return undefined;
    parts.push(Buffer.from(digest, 'latin1'));
  }
  parts.push(Buffer.from(`${chunk.start}+${chunk.size}`, 'latin1'));
  return hash('sha256', Buffer.concat(parts), 'hex');
}

/** One name in sixteen, by FNV-1a. */
function endsChunk(path: string): boolean {
  let value = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) value = Math.imul(value ^ path.charCodeAt(i), 0x01000193);
  return ((value ^ (value >>> 15)) & 15) === 0;
}
