import { createHash, hash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { cancelledError, isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import type { Digest } from '../image/types.ts';
import { type ArchiveKind, sniffArchive } from './compression/archive-sniff.ts';
import { decompressorFor } from './compression/decompress.ts';
import type { Extractor } from './extractor.ts';
import { invalidLayer } from './tar/tar-numbers.ts';
import { createTarParser, type TarHandler } from './tar/tar-parser.ts';
import type { TreeBuilder } from './tree/tree-builder.ts';
import type { UnpackedLayer } from './types.ts';

/** What a blob is known to be; all that is given is checked. */
export interface ExpectedBlob {
  readonly digest?: Digest;
  /** Bytes of the blob. */
  readonly size?: number;
  /** Digest of the tar inside. */
  readonly diffId?: Digest;
}

export interface LayerStreamOptions {
  readonly expected: ExpectedBlob;
  readonly builder: TreeBuilder;
  /** Undefined where only the tree is wanted. */
  readonly extractor?: Extractor;
  /** An archive of any make, not a layer: bzip2 and xz are read too. @default false */
  readonly foreign?: boolean;
  readonly signal?: AbortSignal;
  /** What any layer may hold; a large blob also 200 times its size. @default 64 GiB */
  readonly plentyBytes?: number;
  /** Bytes of the blob so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** gzip makes at most 1,032 times as much of a byte, zstd any number; layers, about 4. */
const MAX_RATIO = 200;
const PLENTY_BYTES = 64 * 1024 ** 3;

/**
 * Decompresses (by content: gzip of any number of members, zstd, or plain), parses and extracts a blob in one pass.
 * Digest and size are of the whole blob; a fault in a blob that is not the wanted one is reported as that.
 *
 * @throws LAYER_INVALID, BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH, DISK_FULL, CANCELLED
 */
export async function readLayerStream(
  chunks: AsyncIterable<Uint8Array>,
  options: LayerStreamOptions,
): Promise<UnpackedLayer> {
  const { expected, builder, extractor } = options;
  const blob = createBlobCheck(chunks, options);
  const tarHash = createHash('sha256');
  const { plentyBytes = PLENTY_BYTES } = options;
  const checkSize = (bytes: number): void => {
    const limit = Math.max(plentyBytes, MAX_RATIO * blob.size());
    if (bytes > limit) throw invalidLayer(`it holds more than ${limit} B, which no layer of its size does`);
  };
  const parser = createTarParser(createHandler({ builder, extractor, checkSize }), {
    // image-spec says that layers should not hold them, and others read those of PAX.
    sparse: true,
  });
  let tarSize = 0;
  const consume = async (source: AsyncIterable<Buffer>): Promise<void> => {
    for await (const bytes of source) {
      tarSize += bytes.length;
      checkSize(tarSize);
      tarHash.update(bytes);
      parser.push(bytes);
    }
  };
  try {
    const source = await blob.open();
    if (options.foreign !== true) checkLayerKind(source.kind);
    const decompressor = await decompressorFor(source.kind);
    const abort = options.signal === undefined ? {} : { signal: options.signal };
    if (decompressor === undefined) await consume(source.chunks);
    else await pipeline(source.chunks, decompressor, consume, abort);
    parser.end();
    await blob.finish();
    extractor?.finish();
  } catch (error) {
    extractor?.abandon();
    throw await faultOf(error, blob, options.signal);
  }
  const diffId: Digest = `sha256:${tarHash.digest('hex')}`;
  if (expected.diffId !== undefined && diffId !== expected.diffId) {
    throw mismatch('BLOB_DIGEST_MISMATCH', 'layer content', { got: diffId, expected: expected.diffId });
  }
  return { diffId, tarSize, tree: builder.finish() };
}

interface BlobCheck {
  /** As it was promised, else as much as was read. */
  size(): number;
  open(): Promise<{ readonly kind: ArchiveKind | undefined; readonly chunks: AsyncIterable<Buffer> }>;
  /** Reads what is left and checks the whole. @throws BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH */
  finish(): Promise<void>;
}

function createBlobCheck(chunks: AsyncIterable<Uint8Array>, options: LayerStreamOptions): BlobCheck {
  const { expected, onProgress } = options;
  const iterator = chunks[Symbol.asyncIterator]();
  const running = createHash('sha256');
  const held: Buffer[] = [];
  let size = 0;
  let ended = false;

  async function next(): Promise<Buffer | undefined> {
    const ready = held.shift();
    if (ready !== undefined) return ready;
    if (ended) return undefined;
    throwIfAborted(options.signal);
    const result = await iterator.next();
    if (result.done) {
      ended = true;
      return undefined;
    }
    const bytes = Buffer.from(result.value.buffer, result.value.byteOffset, result.value.byteLength);
    size += bytes.length;
    if (expected.size !== undefined && size > expected.size) {
      ended = true;
      throw mismatch('BLOB_SIZE_MISMATCH', 'layer blob', {
        got: `more than ${expected.size} B`,
        expected: `${expected.size} B`,
      });
    }
    if (expected.digest !== undefined) running.update(bytes);
    onProgress?.(size);
    return bytes;
  }

  async function* rest(): AsyncGenerator<Buffer> {
    for (let bytes = await next(); bytes !== undefined; bytes = await next()) yield bytes;
  }

  return {
    size: () => expected.size ?? size,
    async open() {
      const first: Buffer[] = [];
      for (let length = 0; length < 512; ) {
        const bytes = await next();
        if (bytes === undefined) break;
        first.push(bytes);
        length += bytes.length;
      }
      const start = Buffer.concat(first);
      if (start.length > 0) held.push(start);
      return { kind: sniffArchive(start), chunks: rest() };
    },
    async finish() {
      held.length = 0;
      while ((await next()) !== undefined);
      if (expected.size !== undefined && size !== expected.size) {
        throw mismatch('BLOB_SIZE_MISMATCH', 'layer blob', {
          got: `${size} B`,
          expected: `${expected.size} B`,
        });
      }
      const digest = `sha256:${running.digest('hex')}`;
      if (expected.digest === undefined || digest === expected.digest) return;
      throw mismatch('BLOB_DIGEST_MISMATCH', 'layer blob', { got: digest, expected: expected.digest });
    },
  };
}

function checkLayerKind(kind: ArchiveKind | undefined): void {
  if (kind !== 'bzip2' && kind !== 'xz') return;
  throw invalidLayer(`it is compressed with ${kind}; layers use gzip, zstd or nothing`);
}

interface HandlerDeps {
  readonly builder: TreeBuilder;
  readonly extractor: Extractor | undefined;
  /** @throws LAYER_INVALID when there is too much */
  readonly checkSize: (bytes: number) => void;
}

function createHandler({ builder, extractor, checkSize }: HandlerDeps): TarHandler {
  let declared = 0;
  let path: string | undefined;
  let size = 0;
  let running: ReturnType<typeof createHash> | undefined;
  let digest: Digest | undefined;
  return {
    member(member) {
      // Before a byte is written: a sparse file of any size needs no content at all.
      declared += member.size;
      checkSize(declared);
      const entry = builder.place(member);
      path = entry?.type === 'file' ? entry.path : undefined;
      size = member.size;
      digest = undefined;
      running = undefined;
      if (entry !== undefined) extractor?.entry(entry);
    },
    data(bytes) {
      if (path === undefined) return;
      // One call is half the price of a hash object, and most files come in one piece.
      if (bytes.length === size) digest = `sha256:${hash('sha256', bytes, 'hex')}`;
      else {
        running ??= createHash('sha256');
        running.update(bytes);
      }
      extractor?.data(bytes);
    },
    memberEnd() {
      if (path === undefined) return;
      extractor?.entryEnd();
      digest ??= `sha256:${(running ?? createHash('sha256')).digest('hex')}`;
      builder.setDigest(path, digest);
      path = undefined;
    },
  };
}

/** Damage in transit shows up first as nonsense in the archive; the digest tells the real reason. */
async function faultOf(error: unknown, blob: BlobCheck, signal: AbortSignal | undefined): Promise<unknown> {
  if (signal?.aborted) return cancelledError(signal);
  const fault = isZlibError(error) ? decompressError(error) : error;
  if (!isOcibuildError(fault) || fault.code !== 'LAYER_INVALID') return fault;
  try {
    await blob.finish();
    return fault;
  } catch (other) {
    return isOcibuildError(other) ? other : fault;
  }
}

function isZlibError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && /^(Z_|ZSTD_|ERR_ZSTD)/.test(String(error.code));
}

function decompressError(cause: Error & { code: string }): OcibuildError {
  return new OcibuildError('LAYER_INVALID', `Cannot decompress the layer: ${cause.message} (${cause.code})`, {
    cause,
  });
}

function mismatch(
  code: 'BLOB_DIGEST_MISMATCH' | 'BLOB_SIZE_MISMATCH',
  what: string,
  facts: { got: string; expected: string },
): OcibuildError {
  return new OcibuildError(code, `Cannot use the ${what}: got ${facts.got}, expected ${facts.expected}`, {
    details: facts,
  });
}
