import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { type Duplex, PassThrough, type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  createGunzip,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  constants as zlib,
} from 'node:zlib';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import {
  ANNOTATION,
  type Descriptor,
  type Digest,
  MEDIA_TYPE,
  type TarCompression,
} from '../../image/types.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { createBlobWriter } from '../blob-writer.ts';
import { writeError } from '../fs-error.ts';
import { GZIP_LEVEL } from './compressor.ts';

export interface EstargzBlobOptions {
  /** What the source file is; verified on the way. */
  readonly from: Descriptor;
  readonly level?: number;
  readonly signal: AbortSignal;
}

export interface RecompressOptions extends EstargzBlobOptions {
  readonly compression: TarCompression;
}

const CHUNK = 1 << 20;

/** Writes a layer's blob in another compression; the tar inside stays the same to the byte, so does its diffID.
 * Nothing is left at `dest` on failure. */
export async function recompress(
  source: string,
  dest: string,
  options: RecompressOptions,
): Promise<Descriptor> {
  const { compression, level, signal } = options;
  const written = meter();
  await convert(source, dest, options, ([file, read, tar]) => {
    const into = createWriteStream(dest, { flags: 'wx' });
    return pipeline(file, read, tar, compressor(compression, level), written.stream, into, { signal });
  });
  return { mediaType: MEDIA_TYPES[compression], digest: written.digest(), size: written.size() };
}

/**
 * Writes a layer's blob as eStargz. The tar inside gets two more entries, so the diffID is another one; the descriptor
 * has the annotations that lazy readers look for. Nothing is left at `dest` on failure.
 * @throws LAYER_INVALID, BLOB_DIGEST_MISMATCH, DISK_FULL
 */
export async function recompressAsEstargz(
  source: string,
  dest: string,
  options: EstargzBlobOptions,
): Promise<{ readonly descriptor: Descriptor; readonly diffId: Digest }> {
  const { level = GZIP_LEVEL, signal } = options;
  const { writeEstargz } = await import('../estargz/estargz.ts');
  const blob = createBlobWriter(dest, { aside: false });
  try {
    const { diffId, tarSize, tocDigest } = await convert(source, dest, options, ([file, read, tar]) => {
      return pipeline(file, read, tar, (chunks) => writeEstargz(chunks, { level, write: blob.write }), {
        signal,
      });
    });
    const { digest, size } = await blob.finish();
    const annotations = { [ANNOTATION.tocDigest]: tocDigest, [ANNOTATION.uncompressedSize]: String(tarSize) };
    return { descriptor: { mediaType: MEDIA_TYPE.layerGzip, digest, size, annotations }, diffId };
  } catch (error) {
    await blob.discard();
    throw error;
  }
}

type Stages = readonly [Readable, Transform, Duplex];

/** Gives `run` the tar of a blob, which is verified, and takes away what it wrote when anything fails. */
async function convert<T>(
  source: string,
  dest: string,
  { from, signal }: EstargzBlobOptions,
  run: (stages: Stages) => Promise<T>,
): Promise<T> {
  const read = meter();
  let result: T;
  try {
    const file = createReadStream(source, { highWaterMark: CHUNK });
    result = await run([file, read.stream, decompressor(from.mediaType)]);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') rmSync(dest, { force: true });
    throwIfAborted(signal);
    if (isOcibuildError(error)) throw error;
    if (/^(Z_|ZSTD_)/.test(errnoOf(error) ?? '')) throw damaged(from, 'it cannot be decompressed', error);
    throw writeError(error, 'write', dest);
  }
  if (read.digest() === from.digest) return result;
  rmSync(dest, { force: true });
  throw damaged(from, 'its content has another digest');
}

/** Names the blob, so that whoever keeps it can throw it away. */
function damaged({ digest }: Descriptor, what: string, cause?: unknown): OcibuildError {
  return new OcibuildError('BLOB_DIGEST_MISMATCH', `Cannot use blob "${digest}": ${what}`, {
    details: { digest },
    cause,
  });
}

/** Passes bytes on and tells their digest and number at the end. */
function meter(): { stream: Transform; digest(): Digest; size(): number } {
  const hash = createHash('sha256');
  let size = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, digest: () => `sha256:${hash.digest('hex')}`, size: () => size };
}

const MEDIA_TYPES = {
  gzip: MEDIA_TYPE.layerGzip,
  zstd: MEDIA_TYPE.layerZstd,
  uncompressed: MEDIA_TYPE.layerTar,
} as const satisfies Record<TarCompression, string>;

function decompressor(mediaType: string): Duplex {
  if (mediaType.endsWith('gzip')) return createGunzip({ chunkSize: CHUNK });
  return mediaType.endsWith('zstd') ? createZstdDecompress({ chunkSize: CHUNK }) : new PassThrough();
}

function compressor(compression: TarCompression, level: number | undefined): NodeJS.ReadWriteStream {
  switch (compression) {
    case 'gzip':
      return createGzip({ chunkSize: CHUNK, level: level ?? GZIP_LEVEL });
    case 'zstd':
      return createZstdCompress({ chunkSize: CHUNK, params: { [zlib.ZSTD_c_compressionLevel]: level ?? 3 } });
    case 'uncompressed':
      return new PassThrough();
  }
}
