import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { isOcibuildError } from '../errors/error.ts';
import { type ExtractJob, extractLayer, readBlobFile } from './extract-layer.ts';
import { type GrowingFile, type Growth, readGrowingFile } from './growing-file.ts';
import type { UnpackedLayer } from './types.ts';

export interface WorkerStart {
  readonly job: ExtractJob;
  /** A whole file, or the descriptor of one whose growth comes as messages. */
  readonly source: { readonly path: string } | { readonly fd: number };
  /** Shared; anything but 0 ends the work after the chunk at hand. */
  readonly stop: Int32Array;
}

export type ToWorker = Growth;

export type FromWorker =
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

/** Descriptors belong to the process, so the one that the main thread opened is good here too. */
function growingFile(fd: number): GrowingFile {
  return {
    fd,
    watch(listener) {
      parentPort?.on('message', listener);
      return () => parentPort?.off('message', listener);
    },
  };
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

async function main({ job, source, stop }: WorkerStart): Promise<void> {
  try {
    const chunks =
      'path' in source
        ? readBlobFile(source.path)
        : readGrowingFile(growingFile(source.fd), (fd, buffer, at) =>
            readSync(fd, buffer, 0, buffer.length, at),
          );
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
