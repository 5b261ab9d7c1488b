import { parentPort, workerData } from 'node:worker_threads';
import { isOcibuildError } from '../../errors/error.ts';
import { createFileHasher } from './hash-file.ts';
import { type HashWork, hashShare } from './hash-share.ts';

// Takes files until none is left, beside the main thread.
try {
  const step = hashShare(workerData as HashWork, createFileHasher());
  while (step());
  parentPort?.postMessage(undefined);
} catch (error) {
  if (!isOcibuildError(error)) throw error;
  // Errors lose their class on the way between threads.
  parentPort?.postMessage({
    code: error.code,
    message: error.message,
    hint: error.hint,
    details: error.details,
  });
}
