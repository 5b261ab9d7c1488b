import { closeSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { ChunkIndex, PackOptions } from '../types.ts';

type IndexedChunk = ChunkIndex['chunks'][number];

/** A member of an earlier blob that holds exactly the bytes wanted. */
export interface KnownMember {
  readonly member: Buffer;
  readonly state: string | undefined;
  /** True while every chunk so far stood at the same place in one earlier blob, so that `state` is valid here. */
  readonly sincePrefix: boolean;
}

export interface MemberSource {
  /** The member for the next chunk of the new blob; asked once for each, in order. */
  next(key: string | undefined): KnownMember | undefined;
  close(): void;
}

/** Members of previous blobs made by the same codec. A blob that is gone or damaged only means a miss. */
export function createMemberSource(
  codec: string | undefined,
  previous: NonNullable<PackOptions['previous']>,
): MemberSource {
  const usable = previous.filter(({ index }) => index.codec === codec);
  const known = new Map<string, { blob: string; chunk: IndexedChunk }>();
  for (const { blob, index } of usable)
    for (const chunk of index.chunks) known.set(chunk.key, { blob, chunk });
  const descriptors = new Map<string, number | undefined>();
  let prefixes = usable.map(({ index }) => index.chunks);
  let position = 0;

  function open(blob: string): number | undefined {
    if (descriptors.has(blob)) return descriptors.get(blob);
    let fd: number | undefined;
    try {
      fd = openSync(blob, 'r');
    } catch {
      // Collected or damaged since: its members are made anew.
      fd = undefined;
    }
    descriptors.set(blob, fd);
    return fd;
  }

  function readMember(blob: string, { offset, compressedSize, crc }: IndexedChunk): Buffer | undefined {
    const fd = open(blob);
    if (fd === undefined) return undefined;
    const member = Buffer.allocUnsafe(compressedSize);
    for (let done = 0; done < compressedSize; ) {
      const count = readSync(fd, member, done, compressedSize - done, offset + done);
      if (count === 0) return undefined;
      done += count;
    }
    return crc32(member) === crc ? member : undefined;
  }

  return {
    next(key) {
      const at = position++;
      prefixes = prefixes.filter((chunks) => key !== undefined && chunks[at]?.key === key);
      const found = key === undefined ? undefined : known.get(key);
      if (found === undefined) return undefined;
      const member = readMember(found.blob, found.chunk);
      if (member === undefined) {
        prefixes = [];
        return undefined;
      }
      const state = prefixes.find((chunks) => chunks[at]?.state !== undefined)?.[at]?.state;
      return { member, state, sincePrefix: state !== undefined };
    },
    close() {
      for (const fd of descriptors.values()) if (fd !== undefined) closeSync(fd);
    },
  };
}
