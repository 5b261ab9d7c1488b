import { createHash } from 'node:crypto';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { copyBlob } from '../exporter/copy-blob.ts';
import type { ByteSink } from '../exporter/target.ts';
import type { Descriptor } from '../image/types.ts';
import type { PutOptions, SourceBlob } from './types.ts';

/**
 * Gives a sink the bytes of a blob, and checks size and digest on the way: the last bytes may be written before a
 * damaged blob is noticed, so the caller drops what it wrote when this throws.
 * @throws BLOB_NOT_FOUND, BLOB_SIZE_MISMATCH, BLOB_DIGEST_MISMATCH (of a registry: REGISTRY_RESPONSE_INVALID), and what
 *   the source throws
 */
export async function moveBlob(
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  blob: SourceBlob,
  { sink, signal, onProgress }: PutOptions & { readonly sink: ByteSink },
): Promise<void> {
  if (blob.file !== undefined) return copyBlob(blob.file, descriptor, sink, onProgress);
  const { digest, size } = descriptor;
  const hash = createHash('sha256');
  let moved = 0;
  for await (const chunk of (await blob.open(0, size)) as AsyncIterable<Buffer>) {
    throwIfAborted(signal);
    moved += chunk.length;
    if (moved > size) break;
    hash.update(chunk);
    await sink.write(chunk);
    onProgress(moved);
  }
  const fault = (code: 'BLOB_SIZE_MISMATCH' | 'BLOB_DIGEST_MISMATCH', why: string): OcibuildError => {
    const { registry } = blob;
    const from = registry === undefined ? '' : ` of "${registry}"`;
    return new OcibuildError(
      registry === undefined ? code : 'REGISTRY_RESPONSE_INVALID',
      `Cannot use blob "${digest}"${from}: ${why}`,
      { details: { digest } },
    );
  };
  if (moved !== size) {
    const got = moved > size ? `more than ${size} B` : `${moved} B instead of ${size} B`;
    throw fault('BLOB_SIZE_MISMATCH', `its source gave ${got}`);
  }
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw fault('BLOB_DIGEST_MISMATCH', `its content has digest "${actual}"`);
}
