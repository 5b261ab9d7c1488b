import { readdirSync } from 'node:fs';
import { errnoOf } from '../util/atomic-fs.ts';
import { readError } from './store-error.ts';

/** Names in a directory of the store; none where it is not there. @throws STORE_NOT_READABLE, STORE_INVALID */
export function listDir(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    // Not made yet, or a sweep was here first.
    if (errnoOf(error) === 'ENOENT') return [];
    throw readError(error, dir);
  }
}
