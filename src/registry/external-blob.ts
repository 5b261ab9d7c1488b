import type { Readable } from 'node:stream';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';
import { openResumedBody, rangeFrom } from '../http/resumed-body.ts';
import { isBusy, RetriableFailure, retryAfterMs, withRetry } from '../http/retry.ts';
import type { HttpResponse, Transport } from '../http/transport.ts';
import { describeStatus } from '../http/words.ts';
import type { Descriptor } from '../image/types.ts';
import type { Slots } from '../util/slots.ts';
import { connectionError } from './response-error.ts';

export interface ExternalBlobDeps {
  readonly transport: Transport;
  readonly slots: Slots;
  readonly retryDelayMs: number;
}

/**
 * Opens a layer at the first of the addresses in its descriptor that has it. These are hosts that nobody gave
 * credentials for; size and digest are for the caller to check.
 * @throws REGISTRY_* of the last address
 * @see image-spec descriptor.md §Properties, `urls`
 */
export async function openExternalBlob(
  { transport, slots, retryDelayMs }: ExternalBlobDeps,
  {
    descriptor: { urls = [], digest, size },
    offset,
    signal,
  }: { readonly descriptor: Descriptor; readonly offset: number; readonly signal: AbortSignal },
): Promise<Readable> {
  let failure: unknown;
  for (const text of urls) {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol)) continue;
    url.username = '';
    url.password = '';
    const action = `fetch the layer "${digest}" from "${redact(text)}"`;
    const invalid = (why: string): OcibuildError =>
      new OcibuildError('REGISTRY_RESPONSE_INVALID', `Cannot ${action}: ${why}`);
    const request = async (from: number): Promise<HttpResponse> => {
      const headers = { 'accept-encoding': 'identity', ...rangeFrom(from) };
      const response = await transport({ method: 'GET', url, headers, signal });
      const { status } = response;
      if (status === 200 || status === 206) return response;
      response.body.destroy();
      const refusal = new OcibuildError(
        status === 404 ? 'REGISTRY_NOT_FOUND' : 'REGISTRY_REQUEST_FAILED',
        `Cannot ${action}: ${describeStatus(status, 'the server')}`,
        { details: { status } },
      );
      if (!isBusy(status)) throw refusal;
      throw new RetriableFailure(refusal, retryAfterMs(response.headers['retry-after'], Date.now()));
    };
    const release = await slots.take(signal);
    try {
      return await openResumedBody({
        request: (from) => withRetry(() => request(from), { signal, delayMs: retryDelayMs }),
        ...{ size, offset, signal, retryDelayMs, invalid, onClose: release },
        broken: (error) => connectionError(error, action),
      });
    } catch (error) {
      throwIfAborted(signal);
      failure = isOcibuildError(error) ? error : connectionError(error, action);
    }
  }
  throw (
    failure ??
    new OcibuildError(
      'REGISTRY_NOT_FOUND',
      `Cannot fetch the layer "${digest}": no address that it names is one of http or https`,
    )
  );
}
