import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OcibuildError } from '../errors/error.ts';
import type { Descriptor } from '../image/types.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import type { ByteSink } from './target.ts';

const CHUNK_BYTES = 1024 * 1024;

/**
 * Copies the blob that a file is, and checks size and digest on the way: the last bytes may be written before a
 * damaged blob is noticed, so the caller drops the target when this throws.
 * @throws BLOB_NOT_FOUND, BLOB_SIZE_MISMATCH, BLOB_DIGEST_MISMATCH
 */
export async function copyBlob(
  path: string,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  sink: ByteSink,
  onBytes?: (copied: number) => void,
): Promise<void> {
  const fd = openBlob(path, digest);
  try {
    const actualSize = fstatSync(fd).size;
    if (actualSize !== size) {
      throw new OcibuildError(
        'BLOB_SIZE_MISMATCH',
        `Cannot use blob "${digest}": got ${actualSize} B, expected ${size} B`,
        { details: { digest, path }, hint: repairHint },
      );
    }
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(size, 1)));
    let copied = 0;
    while (copied < size) {
      const length = readSync(fd, chunk, 0, chunk.length, copied);
      if (length === 0) break;
      const bytes = chunk.subarray(0, length);
      hash.update(bytes);
      await sink.write(bytes);
      copied += length;
      onBytes?.(copied);
    }
    const actual = `sha256:${hash.digest('hex')}`;
    if (actual !== digest) {
      throw new OcibuildError(
        'BLOB_DIGEST_MISMATCH',
        `Cannot use blob "${digest}": its content has digest "${actual}"`,
        { details: { digest, path }, hint: repairHint },
      );
    }
  } finally {
    closeSync(fd);
  }
}

const repairHint = 'it is damaged where it is kept: build with --no-cache, or copy the image there again';

function openBlob(path: string, digest: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find blob "${digest}" at "${path}"`, {
      details: { digest, path },
      hint: repairHint,
      cause,
    });
  }
}
