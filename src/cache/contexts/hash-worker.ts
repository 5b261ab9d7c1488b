import { parentPort, workerData } from 'node:worker_threads';
import { errorToData } from '../../errors/wire.ts';
import { createFileHasher } from './hash-file.ts';
import { type HashWork, hashShare } from './hash-share.ts';

// Takes files until none is left, beside the main thread.
try {
  const step = hashShare(workerData as HashWork, createFileHasher());
  while (step());
  parentPort?.postMessage(undefined);
} catch (error) {
  parentPort?.postMessage(errorToData(error));
}
