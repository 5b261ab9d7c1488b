import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { PassThrough, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  createGunzip,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  constants as zlib,
} from 'node:zlib';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { type Compression, type Descriptor, type Digest, MEDIA_TYPE } from '../image/types.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { GZIP_LEVEL } from './compressor.ts';
import { writeError } from './fs-error.ts';

export interface RecompressOptions {
  /** What the source file is; verified on the way. */
  readonly from: Descriptor;
  readonly compression: Compression;
  readonly level?: number;
  readonly signal: AbortSignal;
}

const CHUNK = 1 << 20;

/** Writes a layer's blob in another compression; the tar inside stays the same to the byte, so does its diffID.
 * Nothing is left at `dest` on failure. */
export async function recompress(
  source: string,
  dest: string,
  options: RecompressOptions,
): Promise<Descriptor> {
  const { from, compression, level, signal } = options;
  const read = meter();
  const written = meter();
  try {
    await pipeline(
      createReadStream(source, { highWaterMark: CHUNK }),
      read.stream,
      decompressor(from.mediaType),
      compressor(compression, level),
      written.stream,
      createWriteStream(dest, { flags: 'wx' }),
      { signal },
    );
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') rmSync(dest, { force: true });
    throwIfAborted(signal);
    if (/^(Z_|ZSTD_)/.test(errnoOf(error) ?? '')) throw damaged(from, 'it cannot be decompressed', error);
    throw writeError(error, 'write', dest);
  }
  if (read.digest() !== from.digest) {
    rmSync(dest, { force: true });
    throw damaged(from, 'its content has another digest');
  }
  return { mediaType: MEDIA_TYPES[compression], digest: written.digest(), size: written.size() };
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
} as const satisfies Record<Compression, string>;

function decompressor(mediaType: string): NodeJS.ReadWriteStream {
  if (mediaType.endsWith('gzip')) return createGunzip({ chunkSize: CHUNK });
  return mediaType.endsWith('zstd') ? createZstdDecompress({ chunkSize: CHUNK }) : new PassThrough();
}

function compressor(compression: Compression, level: number | undefined): NodeJS.ReadWriteStream {
  switch (compression) {
    case 'gzip':
      return createGzip({ chunkSize: CHUNK, level: level ?? GZIP_LEVEL });
    case 'zstd':
      return createZstdCompress({ chunkSize: CHUNK, params: { [zlib.ZSTD_c_compressionLevel]: level ?? 3 } });
    case 'uncompressed':
      return new PassThrough();
  }
}
