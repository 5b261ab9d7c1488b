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
import { type Compression, type Descriptor, MEDIA_TYPE } from '../image/types.ts';
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
  const hash = createHash('sha256');
  let size = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  try {
    await pipeline(
      createReadStream(source, { highWaterMark: CHUNK }),
      decompressor(from.mediaType),
      compressor(compression, level),
      measure,
      createWriteStream(dest, { flags: 'wx' }),
      { signal },
    );
  } catch (error) {
    rmSync(dest, { force: true });
    throw writeError(error, 'write', dest);
  }
  return { mediaType: MEDIA_TYPES[compression], digest: `sha256:${hash.digest('hex')}`, size };
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
      return createGzip({ chunkSize: CHUNK, level: level ?? 6 });
    case 'zstd':
      return createZstdCompress({ chunkSize: CHUNK, params: { [zlib.ZSTD_c_compressionLevel]: level ?? 3 } });
    case 'uncompressed':
      return new PassThrough();
  }
}
