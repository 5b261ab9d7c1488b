import { Readable } from 'node:stream';
import { cancelledError, throwIfAborted } from '../errors/error.ts';

/**
 * The chunks of a stream that may say nothing for ever, such as a terminal or the pipe of a command that hangs.
 * @throws CANCELLED as soon as the signal is aborted, not only at the next chunk
 */
export async function* untilAborted<T>(stream: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const chunks = stream[Symbol.asyncIterator]();
  let isEnded = false;
  try {
    for (;;) {
      const next = await nextOf(chunks, signal);
      isEnded = next.done === true;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    if (!isEnded) {
      // A generator takes this only once it has given what it was asked for, which may be never: nobody waits.
      void chunks.return?.().catch(() => undefined);
      if (stream instanceof Readable) stream.destroy();
    }
  }
}

async function nextOf<T>(chunks: AsyncIterator<T>, signal: AbortSignal): Promise<IteratorResult<T>> {
  throwIfAborted(signal);
  const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T>>();
  const cancel = (): void => reject(cancelledError(signal));
  signal.addEventListener('abort', cancel, { once: true });
  chunks.next().then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
