import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from './atomic-fs.ts';

/**
 * Makes a directory and those above it; gives the topmost that was made, undefined where the directory was there.
 * Node's own `recursive` never returns below /proc, where mkdir(2) gives ENOENT though the parent is there, and calls
 * a read-only file system a missing directory.
 */
export function makeDirs(path: string, mode?: number): string | undefined {
  if (isDirectory(path)) return undefined;
  const parent = dirname(path);
  const made = isDirectory(parent) ? undefined : makeDirs(parent, mode);
  try {
    mkdirSync(path, mode);
  } catch (error) {
    // Another process was quicker.
    if (errnoOf(error) !== 'EEXIST' || !isDirectory(path)) throw error;
  }
  return made ?? path;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
