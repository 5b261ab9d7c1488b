import { parentPort, workerData } from 'node:worker_threads';
import { isOcibuildError } from '../errors/error.ts';
import { type ExtractJob, extractLayer, readBlobFile } from './extract-layer.ts';
import type { UnpackedLayer } from './types.ts';

/** Start data: a path, or undefined where chunks come as messages. */
export interface WorkerStart {
  readonly job: ExtractJob;
  readonly path: string | undefined;
  /** Shared; anything but 0 ends the work after the chunk at hand. */
  readonly stop: Int32Array;
}

export type ToWorker = { readonly chunk: Uint8Array } | { readonly end: true };

export type FromWorker =
  | { readonly kind: 'taken' }
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'done'; readonly layer: UnpackedLayer }
  | { readonly kind: 'failed'; readonly error: WorkerError };

/** An error as plain data; `code` is missing for one that is not ours. */
export interface WorkerError {
  readonly code?: string;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly stack?: string | undefined;
}

function send(message: FromWorker): void {
  parentPort?.postMessage(message);
}

async function* chunksFromPort(): AsyncGenerator<Uint8Array> {
  const waiting: ToWorker[] = [];
  let wake: () => void = () => undefined;
  parentPort?.on('message', (message: ToWorker) => {
    waiting.push(message);
    wake();
  });
  for (;;) {
    const message = waiting.shift();
    if (message === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    } else if ('end' in message) {
      return;
    } else {
      send({ kind: 'taken' });
      yield message.chunk;
    }
  }
}

async function* untilStopped(
  chunks: AsyncIterable<Uint8Array>,
  stop: Int32Array,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (Atomics.load(stop, 0) !== 0) return;
    yield chunk;
  }
}

async function main({ job, path, stop }: WorkerStart): Promise<void> {
  try {
    const chunks = path === undefined ? chunksFromPort() : readBlobFile(path);
    const layer = await extractLayer(untilStopped(chunks, stop), job, {
      onProgress: (bytes) => send({ kind: 'progress', bytes }),
    });
    send({ kind: 'done', layer });
  } catch (error) {
    send({ kind: 'failed', error: plainError(error) });
  } finally {
    parentPort?.close();
  }
}

function plainError(error: unknown): WorkerError {
  if (isOcibuildError(error)) {
    const { code, message, hint, details } = error;
    return { code, message, hint, details };
  }
  return error instanceof Error ? { message: error.message, stack: error.stack } : { message: String(error) };
}

await main(workerData as WorkerStart);
