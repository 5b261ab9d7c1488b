import { readdirSync } from 'node:fs';
import { errnoOf } from './atomic-fs.ts';

/** Names in a directory; none where it is not there. */
export function listDir(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
