import { readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../util/atomic-fs.ts';
import { currentOwner, isAlive, ownedName, ownerOf } from '../util/owner.ts';

const PREFIX = '.writing.';

/** Says that a layout is written into, until what is given back is called. A writer relies on blobs that it finds, and
 * that no index leads to yet. */
export function beginWriting(dir: string): () => void {
  const file = join(dir, `${PREFIX}${ownedName(currentOwner())}`);
  writeFileSync(file, '', { flag: 'wx' });
  return () => rmSync(file, { force: true });
}

/** Whether somebody on this machine writes into a layout. Drops what the dead left. */
export function isBeingWritten(dir: string): boolean {
  return readdirSync(dir).some((name) => {
    if (!name.startsWith(PREFIX)) return false;
    const owner = ownerOf(name.slice(PREFIX.length));
    if (owner !== undefined && isAlive(owner)) return true;
    rmSync(join(dir, name), { force: true });
    return false;
  });
}

/** Gives a blob another time, by which its maker sees that it is no longer the only one to need it; false where it is
 * gone. */
export function claimBlob(path: string): boolean {
  const now = new Date();
  try {
    utimesSync(path, now, now);
    return true;
  } catch (error) {
    // Another user's file cannot be marked.
    return errnoOf(error) !== 'ENOENT';
  }
}
