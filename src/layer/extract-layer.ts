import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import { OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { createExtractor, type ExtractOptions } from './extractor.ts';
import { readError } from './fs-error.ts';
import { type ExpectedBlob, readLayerStream } from './layer-stream.ts';
import { decodeName, fsPath } from './path-bytes.ts';
import { createTreeBuilder } from './tree/tree-builder.ts';
import type { UnpackedLayer } from './types.ts';

/** All that a thread needs to read one layer; plain data. */
export interface ExtractJob {
  readonly expected: ExpectedBlob;
  /** Undefined: the tree alone. */
  readonly extract?: ExtractOptions;
}

const READ_SIZE = 256 << 10;

/** Reads one layer on the calling thread. */
export function extractLayer(
  chunks: AsyncIterable<Uint8Array>,
  job: ExtractJob,
  events: { readonly signal?: AbortSignal; readonly onProgress?: (bytes: number) => void },
): Promise<UnpackedLayer> {
  const { extract, expected } = job;
  const apply = extract?.mode === 'apply';
  const foreign = extract?.foreign === true;
  const builder = createTreeBuilder({
    foreignLinks: apply || foreign,
    refuseEscapes: foreign,
    ...(apply ? { lowerLink: (path) => linkAt(`${extract.dest}/${path}`) } : {}),
  });
  const extractor = extract === undefined ? undefined : createExtractor(extract);
  return readLayerStream(chunks, {
    expected,
    builder,
    foreign,
    ...events,
    ...(extractor === undefined ? {} : { extractor }),
  });
}

/** The bytes of a file by synchronous reads, for a thread that has nothing else to do. @throws BLOB_NOT_FOUND */
export async function* readBlobFile(path: string): AsyncGenerator<Buffer> {
  let fd: number;
  try {
    fd = openSync(fsPath(path), 'r');
  } catch (error) {
    throw new OcibuildError('BLOB_NOT_FOUND', `Cannot open the blob "${path}": ${errnoOf(error)}`, {
      details: { path },
      cause: error,
    });
  }
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(READ_SIZE);
      const count = readSync(fd, buffer, 0, READ_SIZE, null);
      if (count === 0) return;
      yield buffer.subarray(0, count);
    }
  } finally {
    closeSync(fd);
  }
}

function linkAt(path: string): string | undefined {
  try {
    return decodeName(readlinkSync(fsPath(path), { encoding: 'buffer' }));
  } catch (error) {
    // EINVAL: something that is no symlink. ENOENT, ENOTDIR: nothing.
    if (['EINVAL', 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(errnoOf(error) ?? '')) return undefined;
    throw readError(error, path);
  }
}
