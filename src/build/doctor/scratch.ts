import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { currentOwner, ownedName } from '../../util/owner.ts';

/** The nearest directory above the store, or itself, that exists. */
export function existingParent(root: string): string {
  return existsSync(root) || dirname(root) === root ? root : existingParent(dirname(root));
}

/**
 * A directory on the file system of the store, for as long as `use` takes. In a store it has a name that the next
 * command sweeps if this one is killed; a store that is not there yet is not made.
 */
export async function withScratch<T>(root: string, use: (dir: string) => Promise<T>): Promise<T> {
  const dir = makeScratch(root);
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function makeScratch(root: string): string {
  const temp = join(root, 'tmp');
  if (existsSync(join(root, 'oci-layout')) && existsSync(temp)) {
    const dir = join(temp, ownedName(currentOwner()));
    mkdirSync(dir);
    return dir;
  }
  const parent = existingParent(root);
  accessSync(parent, constants.W_OK);
  return mkdtempSync(join(parent, '.ocibuild-doctor-'));
}
