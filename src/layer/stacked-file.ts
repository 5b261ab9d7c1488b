import { lstatSync } from 'node:fs';
import { join } from 'node:path';

/** Whether overlay shows a file, or a link, at a path. @param layers snapshots, base first; @param path relative */
export function isStackedFile(layers: readonly string[], path: string): boolean {
  for (const dir of layers.toReversed()) {
    // The uppermost layer that knows the path says; a whiteout is a device.
    const stat = lstatSync(join(dir, path), { throwIfNoEntry: false });
    if (stat !== undefined) return stat.isFile() || stat.isSymbolicLink();
  }
  return false;
}
