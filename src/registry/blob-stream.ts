import { Readable } from 'node:stream';
import { cancelledError, isOcibuildError } from '../errors/error.ts';
import { timedBody } from '../http/body.ts';
import { isPassing, pause } from '../http/retry.ts';
import type { HttpResponse } from '../http/transport.ts';
import type { Reference } from '../image/reference.ts';
import type { Descriptor } from '../image/types.ts';
import { actionOf, protocolError, type RegistryClient } from './client.ts';
import { connectionError } from './response-error.ts';

export interface BlobStreamDeps {
  readonly client: RegistryClient;
  readonly retryDelayMs: number;
  /** How long to wait for the next bytes of a body. */
  readonly timeoutMs: number;
}

export interface BlobStreamOptions {
  readonly ref: Reference;
  readonly descriptor: Descriptor;
  /** Where in the blob to begin. */
  readonly offset: number;
  readonly signal: AbortSignal;
  /** Called once when the stream is done with, in whatever way. */
  onClose(): void;
}

/** Broken bodies in a row without a byte in between, after which the download is given up. */
const MAX_STALLS = 5;

/** Opens a blob and gives its bytes; a connection that breaks is taken up again where it broke. All bytes
 * from `offset` on come out, or an error. */
export async function openBlobStream(deps: BlobStreamDeps, options: BlobStreamOptions): Promise<Readable> {
  const { signal, onClose } = options;
  let response = await request(deps, options, options.offset).catch((error: unknown) => {
    onClose();
    throw error;
  });
  const stream = Readable.from(read(), { objectMode: false });
  const cancel = (): void => void stream.destroy(cancelledError(signal));
  signal.addEventListener('abort', cancel, { once: true });
  // A generator that was never started runs no finally, so the end of the stream cleans up.
  stream.once('close', () => {
    signal.removeEventListener('abort', cancel);
    response.body.destroy();
    onClose();
  });
  if (signal.aborted) cancel();
  return stream;

  async function* read(): AsyncGenerator<Buffer> {
    const { size } = options.descriptor;
    let { offset } = options;
    for (let stalls = 0; ; ) {
      let skip = offset - startOf(response, options, offset);
      try {
        for await (const chunk of timedBody(response, deps.timeoutMs)) {
          const fresh = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - fresh.length;
          if (fresh.length === 0) continue;
          if (offset + fresh.length > size) throw protocolError(options.ref, `blob has more than ${size} B`);
          offset += fresh.length;
          stalls = 0;
          yield fresh;
        }
      } catch (error) {
        if (signal.aborted) throw cancelledError(signal);
        if (isOcibuildError(error) || !isPassing(error)) throw connectionError(error, actionOf(options.ref));
      }
      if (offset === size) return;
      if (++stalls > MAX_STALLS) {
        throw protocolError(options.ref, `blob ended after ${offset} B of ${size} B`);
      }
      response.body.destroy();
      await pause(stalls, undefined, { signal, delayMs: deps.retryDelayMs });
      response = await request(deps, options, offset);
    }
  }
}

function request(
  deps: BlobStreamDeps,
  { ref, descriptor, signal }: BlobStreamOptions,
  offset: number,
): Promise<HttpResponse> {
  const range = offset === 0 ? {} : { range: `bytes=${offset}-` };
  return deps.client.call(
    {
      ref,
      method: 'GET',
      path: `blobs/${descriptor.digest}`,
      headers: { 'accept-encoding': 'identity', ...range },
      signal,
    },
    async (response) => response,
  );
}

/** Which byte of the blob an answer begins with. A registry may ignore Range and start over; what we have then
 * is skipped. @throws REGISTRY_RESPONSE_INVALID for another piece than the one asked for. */
function startOf(
  { status, headers }: HttpResponse,
  { ref, descriptor }: BlobStreamOptions,
  offset: number,
): number {
  if (status !== 206) {
    const length = headers['content-length'];
    if (length !== undefined && Number(length) !== descriptor.size) {
      throw protocolError(ref, `blob "${descriptor.digest}" has ${length} B, expected ${descriptor.size} B`);
    }
    return 0;
  }
  const told = headers['content-range'] ?? '';
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(told) ?? [];
  if (Number(first) !== offset || (total !== '*' && Number(total) !== descriptor.size)) {
    throw protocolError(ref, `asked for byte ${offset} of ${descriptor.size} and got "${told}"`);
  }
  return offset;
}
