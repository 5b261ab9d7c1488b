import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfAborted } from '../../errors/error.ts';
import { type ErrorData, errorFromData } from '../../errors/wire.ts';
import type { Digest } from '../../image/types.ts';
import { openWorker } from '../../util/open-worker.ts';
import type { OpenEntry } from './context-types.ts';
import { createFileHasher, type FileToHash } from './hash-file.ts';
import { createHashWork, type HashWork, hashShare } from './hash-share.ts';

/** From here on a second thread (19–36 ms to start) makes it 1.6 times quicker. */
const WORKER_FROM_BYTES = 100 * 1024 * 1024;
const WORKER_FROM_FILES = 10_000;
/** How long the event loop may wait for its turn. */
const SLICE_MS = 50;

/** Fills in the digests of the files that have none. @throws CONTEXT_CHANGED, CONTEXT_UNREADABLE, CANCELLED */
export async function hashEntries(
  entries: readonly OpenEntry[],
  pathOf: (entry: OpenEntry) => string,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  throwIfAborted(signal);
  const unknown = [...new Set(entries)].filter(
    (entry) => entry.type === 'file' && entry.digest === undefined,
  );
  if (unknown.length === 0) return;
  let bytes = 0;
  const files = unknown.map((entry): FileToHash => {
    bytes += entry.size;
    return { path: pathOf(entry), size: entry.size, mtimeMs: entry.mtimeMs, ctimeMs: entry.ctimeMs };
  });
  const work = createHashWork(files);
  const helped = bytes > WORKER_FROM_BYTES || files.length > WORKER_FROM_FILES;
  const helper = helped ? startHelper(work) : undefined;
  try {
    const step = hashShare(work, createFileHasher());
    let sliceEnd = performance.now() + SLICE_MS;
    while (step()) {
      if (performance.now() < sliceEnd) continue;
      await nextTurn();
      throwIfAborted(signal);
      sliceEnd = performance.now() + SLICE_MS;
    }
    await helper?.done;
  } finally {
    await helper?.stop();
  }
  const hex = Buffer.from(work.digests.buffer).toString('hex');
  for (const [i, entry] of unknown.entries()) {
    entry.digest = `sha256:${hex.slice(i * 64, i * 64 + 64)}` satisfies Digest;
  }
}

interface Helper {
  readonly done: Promise<void>;
  stop(): Promise<unknown>;
}

function startHelper(work: HashWork): Helper {
  const worker = openWorker(import.meta.url, 'hash-worker.ts', { workerData: work });
  const done = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (failure: ErrorData | undefined) => {
      if (failure === undefined) resolve();
      else reject(errorFromData(failure));
    });
    worker.once('exit', () => reject(new Error('Cannot hash the context: the helper thread ended early')));
  });
  // It may fail while the main thread is still busy with its own share.
  done.catch(() => undefined);
  return { done, stop: () => worker.terminate() };
}
