import type { Readable } from 'node:stream';
import { openResumedBody, rangeFrom } from '../http/resumed-body.ts';
import type { Reference } from '../image/reference.ts';
import type { Descriptor } from '../image/types.ts';
import { actionOf, protocolError, type RegistryClient } from './client.ts';
import { connectionError } from './response-error.ts';

export interface BlobStreamDeps {
  readonly client: RegistryClient;
  readonly retryDelayMs: number;
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

/** Opens a blob and gives its bytes; a connection that breaks is taken up again where it broke. All bytes
 * from `offset` on come out, or an error. @throws REGISTRY_* */
export function openBlobStream(deps: BlobStreamDeps, options: BlobStreamOptions): Promise<Readable> {
  const { ref, descriptor, offset, signal, onClose } = options;
  return openResumedBody({
    request: (from) =>
      deps.client.call(
        {
          ref,
          method: 'GET',
          path: `blobs/${descriptor.digest}`,
          headers: { 'accept-encoding': 'identity', ...rangeFrom(from) },
          signal,
        },
        async (response) => response,
      ),
    size: descriptor.size,
    offset,
    signal,
    retryDelayMs: deps.retryDelayMs,
    invalid: (why) => protocolError(ref, why),
    broken: (error) => connectionError(error, actionOf(ref)),
    onClose,
  });
}
