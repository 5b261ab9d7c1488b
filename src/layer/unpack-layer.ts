import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode } from '../errors/codes.ts';
import { cancelledError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { openWorker } from '../util/open-worker.ts';
import { type ExtractJob, extractLayer, readBlobFile } from './extract-layer.ts';
import type { FromWorker, ToWorker, WorkerError, WorkerStart } from './extract-worker.ts';
import type { ExtractOptions } from './extractor.ts';
import { type GrowingFile, type Growth, readAtAsync, readGrowingFile } from './growing-file.ts';
import type { ExpectedBlob } from './layer-stream.ts';
import type { UnpackedLayer } from './types.ts';

/** Where a blob's bytes come from. A stream is read on the calling thread. */
export type LayerSource =
  | { readonly path: string }
  | { readonly growing: GrowingFile }
  | { readonly stream: Readable };

export interface ReadLayerOptions extends ExpectedBlob {
  readonly signal: AbortSignal;
  /** Bytes of the blob so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface UnpackOptions extends ReadLayerOptions, Omit<ExtractOptions, 'mode'> {}

/** A worker takes 19 ms to start; what is smaller than this is unpacked sooner without one. */
const WORKER_FROM_BYTES = 512 << 10;
const YOUNG_GENERATION_MB = 8;

/**
 * Unpacks a blob into an empty directory as an overlay layer, in a thread of its own. The directory is the caller's to
 * remove on failure.
 *
 * @throws LAYER_INVALID, BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH, DISK_FULL, ROOTLESS_UNAVAILABLE, CANCELLED
 */
export function unpackLayer(source: LayerSource, options: UnpackOptions): Promise<UnpackedLayer> {
  return readLayer(source, jobOf(options, 'snapshot'), options);
}

/** Applies a blob to a root file system and never touches anything outside of it. Throws as unpackLayer does. */
export function applyLayer(
  source: LayerSource,
  options: Omit<UnpackOptions, 'opaqueXattr'>,
): Promise<UnpackedLayer> {
  return readLayer(source, jobOf({ ...options, opaqueXattr: 'trusted.overlay.opaque' }, 'apply'), options);
}

/** The tree of a blob; nothing is written. Throws as unpackLayer does. */
export function readTree(source: LayerSource, options: ReadLayerOptions): Promise<UnpackedLayer> {
  return readLayer(source, { expected: expectedOf(options) }, options);
}

function jobOf(options: UnpackOptions, mode: ExtractOptions['mode']): ExtractJob {
  const { dest, opaqueXattr, ignoreDevices, ignoreOwners, contentOnly, foreign, plainRoot } = options;
  return {
    expected: expectedOf(options),
    extract: {
      dest,
      mode,
      opaqueXattr,
      ...(ignoreDevices === undefined ? {} : { ignoreDevices }),
      ...(ignoreOwners === undefined ? {} : { ignoreOwners }),
      ...(contentOnly === undefined ? {} : { contentOnly }),
      ...(foreign === undefined ? {} : { foreign }),
      ...(plainRoot === undefined ? {} : { plainRoot }),
    },
  };
}

function expectedOf({ digest, size, diffId }: ExpectedBlob): ExpectedBlob {
  return {
    ...(digest === undefined ? {} : { digest }),
    ...(size === undefined ? {} : { size }),
    ...(diffId === undefined ? {} : { diffId }),
  };
}

async function readLayer(
  source: LayerSource,
  job: ExtractJob,
  options: ReadLayerOptions,
): Promise<UnpackedLayer> {
  throwIfAborted(options.signal);
  const { signal, onProgress } = options;
  const isSmall = options.size !== undefined && options.size < WORKER_FROM_BYTES;
  if (!('stream' in source) && !isSmall) return inWorker(source, job, options);
  const chunks =
    'path' in source
      ? readBlobFile(source.path)
      : 'growing' in source
        ? readGrowingFile(source.growing, readAtAsync)
        : source.stream;
  return extractLayer(chunks, job, { signal, ...(onProgress === undefined ? {} : { onProgress }) });
}

async function inWorker(
  source: Exclude<LayerSource, { readonly stream: Readable }>,
  job: ExtractJob,
  { signal, onProgress }: ReadLayerOptions,
): Promise<UnpackedLayer> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const growing = 'growing' in source ? source.growing : undefined;
  const start: WorkerStart = { job, source: 'path' in source ? source : { fd: source.growing.fd }, stop };
  const worker = openWorker(import.meta.url, 'extract-worker.ts', {
    workerData: start,
    // Inherited flags such as --input-type, which a script given by -e needs, keep a worker from starting.
    execArgv: [],
    // Entries of a tree live as long as the worker: more room for the young ones only costs memory.
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  const tell = (growth: Growth): void => worker.postMessage(growth satisfies ToWorker);
  const { promise, resolve, reject } = Promise.withResolvers<UnpackedLayer>();
  const onAbort = (): void => reject(cancelledError(signal));
  worker.on('message', (message: FromWorker) => {
    if (message.kind === 'progress') onProgress?.(message.bytes);
    else if (message.kind === 'done') resolve(message.layer);
    else reject(errorOf(message.error));
  });
  worker.on('error', (error) => reject(errorOf({ message: String(error) })));
  const exited = new Promise<void>((done) => {
    worker.on('exit', (code) => {
      reject(new OcibuildError('INTERNAL', `Cannot unpack: the worker ended with ${code}`));
      done();
    });
  });
  signal.addEventListener('abort', onAbort, { once: true });
  const unwatch = growing?.watch(tell);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    unwatch?.();
    // Not terminate(): koffi aborts the whole process when its thread is stopped inside of a call.
    Atomics.store(stop, 0, 1);
    tell({ bytes: 0, ended: true });
    await exited;
  }
}

function errorOf(error: WorkerError): Error {
  const { code, message, hint, details = {} } = error;
  const known: readonly string[] = ERROR_CODES;
  if (code === undefined || !known.includes(code)) {
    return new OcibuildError('INTERNAL', `Cannot unpack the layer: ${message}`, { cause: error.stack });
  }
  return new OcibuildError(code as ErrorCode, message, {
    details,
    ...(hint === undefined ? {} : { hint }),
  });
}
