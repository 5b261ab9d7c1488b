import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { OcibuildError } from '../errors/error.ts';
import type { Descriptor } from '../image/types.ts';
import type { OpenPart } from '../registry/types.ts';

/** In pieces of 64 KiB, the default, an upload takes twice the time of this process. */
const PIECE_BYTES = 1 << 20;

/** A part of a file. */
export function openPart(path: string, offset: number, length: number): Readable {
  if (length === 0) return Readable.from([]);
  return createReadStream(path, {
    start: offset,
    end: offset + length - 1,
    highWaterMark: Math.min(PIECE_BYTES, length),
  });
}

/** Parts of bytes in memory. */
export function openBytes(bytes: Buffer): OpenPart {
  return (offset, length) => Readable.from([bytes.subarray(offset, offset + length)]);
}

/** A part of the file that a blob is. @throws BLOB_NOT_FOUND, BLOB_SIZE_MISMATCH */
export function openBlobPart(
  path: string,
  { digest, size }: Descriptor,
  { offset, length }: { readonly offset: number; readonly length: number },
): Readable {
  const actual = statSync(path, { throwIfNoEntry: false })?.size;
  if (actual === size) return openPart(path, offset, length);
  const details = { digest, path };
  if (actual === undefined) {
    throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find blob "${digest}" at "${path}"`, { details });
  }
  throw new OcibuildError(
    'BLOB_SIZE_MISMATCH',
    `Cannot use blob "${digest}": got ${actual} B, expected ${size} B`,
    { details },
  );
}
