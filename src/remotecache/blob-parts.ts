import { createHash } from 'node:crypto';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import type { Descriptor } from '../image/types.ts';
import type { OpenPart } from '../registry/types.ts';
import type { SourceBlob } from '../transfer/types.ts';
import type { Slots } from '../util/slots.ts';
import type { CacheConfig, CacheWriteOptions } from './types.ts';

/** A piece of a blob, in memory: it can be sent again. */
export interface BlobPart {
  /** From 0. */
  readonly index: number;
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface SendPartsOptions {
  readonly open: OpenPart;
  readonly partBytes: number;
  /** A place for each part that is in memory. */
  readonly slots: Slots;
  readonly signal: AbortSignal;
  onProgress(bytes: number): void;
  send(part: BlobPart, signal: AbortSignal): Promise<void>;
}

export interface PutBlobOptions {
  readonly signal: AbortSignal;
  onProgress(bytes: number): void;
}

/**
 * Reads a blob once, in order, and sends its parts side by side. The last part is sent only when the bytes are those of
 * the digest. Nothing is on its way any more when this returns or throws.
 * @throws BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH, and what `send` throws
 */
export async function sendParts(descriptor: Descriptor, options: SendPartsOptions): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const parts = readParts(descriptor, options.open, options.partBytes);
  const running: Promise<void>[] = [];
  let first: { readonly error: unknown } | undefined;
  let sent = 0;
  const fail = (error: unknown): void => {
    first ??= { error };
    failed.abort(error);
  };
  try {
    for (;;) {
      const release = await options.slots.take(signal);
      const next = await parts.next().catch((error: unknown) => {
        release();
        throw error;
      });
      if (next.done === true || signal.aborted) {
        release();
        break;
      }
      const send = async (part: BlobPart): Promise<void> => {
        try {
          await options.send(part, signal);
          sent += part.bytes.length;
          options.onProgress(sent);
        } catch (error) {
          fail(error);
        } finally {
          release();
        }
      };
      running.push(send(next.value));
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(running);
  await parts.return();
  if (first !== undefined) throw first.error;
}

/** The parts in order; the last only when the whole is what it should be. An empty blob is one empty part. */
async function* readParts(
  { digest, size }: Descriptor,
  open: OpenPart,
  partBytes: number,
): AsyncGenerator<BlobPart, void> {
  const hash = createHash('sha256');
  let chunks: Buffer[] = [];
  let have = 0;
  let offset = 0;
  let index = 0;
  const cut = (): BlobPart => {
    const bytes = Buffer.concat(chunks);
    const part = { index: index++, offset, bytes };
    offset += bytes.length;
    chunks = [];
    have = 0;
    return part;
  };
  for await (let chunk of (await open(0, size)) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    while (have + chunk.length > partBytes) {
      const room = partBytes - have;
      if (room > 0) chunks.push(chunk.subarray(0, room));
      chunk = chunk.subarray(room);
      yield cut();
    }
    // A stream may use its buffer again for the next chunk.
    chunks.push(Buffer.from(chunk));
    have += chunk.length;
  }
  if (offset + have !== size) {
    const message = `Cannot send blob "${digest}": got ${offset + have} B, expected ${size} B`;
    throw new OcibuildError('BLOB_SIZE_MISMATCH', message, { details: { digest } });
  }
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) {
    const message = `Cannot send blob "${digest}": its bytes have digest "${actual}"`;
    throw new OcibuildError('BLOB_DIGEST_MISMATCH', message, { details: { digest } });
  }
  yield cut();
}

/** The blobs of a config, each once. */
export function blobsOf({ layers, mounts = [] }: CacheConfig): readonly Descriptor[] {
  const all = [...layers, ...mounts].map(({ descriptor }) => descriptor);
  return [...new Map(all.map((blob) => [blob.digest, blob])).values()];
}

/** Puts blobs, several at a time; the first failure ends them all. */
export async function putBlobs(
  blobs: readonly Descriptor[],
  { from, signal, onProgress }: CacheWriteOptions,
  put: (descriptor: Descriptor, blob: SourceBlob, options: PutBlobOptions) => Promise<void>,
): Promise<void> {
  const waiting = [...blobs];
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  let first: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (let blob = waiting.shift(); blob !== undefined && first === undefined; blob = waiting.shift()) {
      const descriptor = blob;
      try {
        onProgress(descriptor, 0);
        await put(descriptor, from.blob(descriptor, either), {
          signal: either,
          onProgress: (bytes) => onProgress(descriptor, bytes),
        });
        onProgress(descriptor, descriptor.size);
      } catch (error) {
        // Later failures are only consequences of the first.
        first ??= { error };
        failed.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: BLOBS_AT_ONCE }, work));
  throwIfAborted(signal);
  if (first !== undefined) throw first.error;
}

/** Most of them are there already and cost one small request. */
const BLOBS_AT_ONCE = 8;
