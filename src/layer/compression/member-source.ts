import { closeSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { isDigestState } from '../running-digest.ts';
import type { ChunkIndex, PackOptions } from '../types.ts';

type IndexedChunk = ChunkIndex['chunks'][number];

/** A member of an earlier blob that holds exactly the bytes wanted. */
export interface KnownMember {
  readonly member: Buffer;
  readonly crc: number;
  /** Given while every chunk so far stood at the same place in one earlier blob. */
  readonly state: string | undefined;
}

export interface MemberSource {
  /** The member for the next chunk of the new blob, in a buffer that `take` gives; asked once for each, in order. */
  next(key: string | undefined, take: (size: number) => Buffer): KnownMember | undefined;
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

  function readMember(
    blob: string,
    { offset, compressedSize, crc }: IndexedChunk,
    take: (size: number) => Buffer,
  ): Buffer | undefined {
    const fd = open(blob);
    if (fd === undefined) return undefined;
    const member = take(compressedSize);
    for (let done = 0; done < compressedSize; ) {
      const count = readSync(fd, member, done, compressedSize - done, offset + done);
      if (count === 0) return undefined;
      done += count;
    }
    return crc32(member) === crc ? member : undefined;
  }

  return {
    next(key, take) {
      const at = position++;
      prefixes = prefixes.filter((chunks) => key !== undefined && chunks[at]?.key === key);
      const found = key === undefined ? undefined : known.get(key);
      if (found === undefined) return undefined;
      const member = readMember(found.blob, found.chunk, take);
      if (member === undefined) {
        prefixes = [];
        return undefined;
      }
      const states = prefixes.map((chunks) => chunks[at]?.state ?? '');
      return { member, crc: found.chunk.crc, state: states.find(isDigestState) };
    },
    close() {
      for (const fd of descriptors.values()) if (fd !== undefined) closeSync(fd);
    },
  };
}
