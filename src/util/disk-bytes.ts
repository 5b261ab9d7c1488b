import { lstatSync, readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';

const BLOCK = 512;
/** Entries between two turns of the event loop: about 20 ms. */
const BATCH = 4000;

/**
 * Bytes that a file or a tree takes on the disk, directories included. Of a file with several names each counts its share,
 * for snapshots have files in common: what all of them take together is right. What cannot be read, or goes meanwhile,
 * counts as nothing.
 */
export async function diskBytes(path: string): Promise<number> {
  const stack = [path];
  let bytes = 0;
  for (let count = 1; ; count++) {
    const next = stack.pop();
    if (next === undefined) return Math.round(bytes);
    if (count % BATCH === 0) await turn();
    try {
      const stat = lstatSync(next);
      const isDirectory = stat.isDirectory();
      if (isDirectory) for (const name of readdirSync(next)) stack.push(`${next}/${name}`);
      bytes += (stat.blocks * BLOCK) / (isDirectory ? 1 : stat.nlink);
    } catch {
      // Gone, or not ours to read.
    }
  }
}
