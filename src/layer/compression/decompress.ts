import { Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { invalidLayer } from '../tar/tar-numbers.ts';
import type { ArchiveKind } from './archive-sniff.ts';

/** A stage of a pipeline. */
export type Decompressor = Transform | ((source: AsyncIterable<Buffer>) => AsyncIterable<Buffer>);

// 64 KiB pieces cost a third more time.
const INFLATED_CHUNK = 1 << 20;

/** What makes a tar of an archive; undefined where it is one. Faults show as LAYER_INVALID, or as errors of zlib. */
export async function decompressorFor(kind: ArchiveKind | undefined): Promise<Decompressor | undefined> {
  switch (kind) {
    case undefined:
    case 'tar':
      return undefined;
    case 'gzip':
      return zlib.createGunzip({ chunkSize: INFLATED_CHUNK });
    case 'zstd':
      return zlib.createZstdDecompress({ chunkSize: INFLATED_CHUNK });
    case 'bzip2':
      return (await import('./bunzip2.ts')).bunzip2;
    case 'xz':
      return unxz;
  }
}

/** The decoder's own numbers, of XZ Embedded. */
const UNSUPPORTED = 'code 6';

async function* unxz(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { XzReadableStream } = (await import('xz-decompress')).default;
  // A fault of the source must not look like one of the data.
  let failure: unknown;
  const input = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* source;
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const stream = new XzReadableStream(Readable.toWeb(Readable.from(input(), { objectMode: false })));
  try {
    for await (const chunk of stream) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  } catch (error) {
    if (failure !== undefined) throw failure;
    const message = error instanceof Error ? error.message : String(error);
    if (message.endsWith(UNSUPPORTED)) {
      throw invalidLayer('its xz data needs a filter, or a checksum other than CRC32 and CRC64', {
        unsupported: true,
      });
    }
    throw invalidLayer(`its xz data is damaged or ends too early (${message})`);
  }
}
