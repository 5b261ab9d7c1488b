import { Readable } from 'node:stream';
import { cancelledError, isOcibuildError } from '../errors/error.ts';
import { timedBody } from './body.ts';
import { isPassing, pause } from './retry.ts';
import type { HttpResponse } from './transport.ts';

export interface ResumedBodyOptions {
  /** Asks for the bytes from `offset` on (`rangeFrom`); a server may ignore that and start over. */
  request(offset: number): Promise<HttpResponse>;
  /** Bytes of the whole. */
  readonly size: number;
  /** Where to begin. */
  readonly offset: number;
  readonly signal: AbortSignal;
  /** Pause before an answer that broke is taken up again; it doubles up to eight times that. */
  readonly retryDelayMs: number;
  /** The error for an answer that cannot be right. */
  invalid(why: string): Error;
  /** The error for a connection that failed for good. */
  broken(error: unknown): Error;
  /** Called once when the stream is done with, in whatever way. */
  onClose?(): void;
}

/** Broken bodies in a row without a byte in between, after which the download is given up. */
const MAX_STALLS = 5;

/** The header that asks for the bytes from `offset` on. */
export function rangeFrom(offset: number): Readonly<Record<string, string>> {
  return offset === 0 ? {} : { range: `bytes=${offset}-` };
}

/** Opens a body and gives its bytes; a connection that breaks is taken up again where it broke. All bytes from `offset`
 * on come out, or an error. */
export async function openResumedBody(options: ResumedBodyOptions): Promise<Readable> {
  const { signal, size } = options;
  let response = await options.request(options.offset).catch((error: unknown) => {
    options.onClose?.();
    throw error;
  });
  const stream = Readable.from(read(), { objectMode: false });
  const cancel = (): void => void stream.destroy(cancelledError(signal));
  signal.addEventListener('abort', cancel, { once: true });
  // A generator that was never started runs no finally, so the end of the stream cleans up.
  stream.once('close', () => {
    signal.removeEventListener('abort', cancel);
    response.body.destroy();
    options.onClose?.();
  });
  if (signal.aborted) cancel();
  return stream;

  async function* read(): AsyncGenerator<Buffer> {
    let { offset } = options;
    for (let stalls = 0; ; ) {
      let skip = offset - startOf(response, options, offset);
      try {
        for await (const chunk of timedBody(response)) {
          const fresh = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - fresh.length;
          if (fresh.length === 0) continue;
          if (offset + fresh.length > size) throw options.invalid(`blob has more than ${size} B`);
          offset += fresh.length;
          stalls = 0;
          yield fresh;
        }
      } catch (error) {
        if (signal.aborted) throw cancelledError(signal);
        if (isOcibuildError(error) || !isPassing(error)) throw options.broken(error);
      }
      if (offset === size) return;
      if (++stalls > MAX_STALLS) throw options.invalid(`blob ended after ${offset} B of ${size} B`);
      response.body.destroy();
      await pause(stalls, undefined, { signal, delayMs: options.retryDelayMs });
      response = await options.request(offset);
    }
  }
}

/** Which byte an answer begins with; what we have of it already is skipped. */
function startOf({ status, headers }: HttpResponse, options: ResumedBodyOptions, offset: number): number {
  const { size, invalid } = options;
  if (status !== 206) {
    const length = headers['content-length'];
    if (length !== undefined && Number(length) !== size) {
      throw invalid(`blob has ${length} B, expected ${size} B`);
    }
    return 0;
  }
  const told = headers['content-range'] ?? '';
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(told) ?? [];
  if (Number(first) !== offset || (total !== '*' && Number(total) !== size)) {
    throw invalid(`asked for byte ${offset} of ${size} and got "${told}"`);
  }
  return offset;
}
