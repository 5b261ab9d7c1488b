import { throwIfAborted } from '../../errors/error.ts';
import type { ImageFiles, Inventory, Package } from '../types.ts';
import { readApk } from './apk.ts';
import { readDpkg } from './dpkg.ts';
import { readGo } from './go.ts';
import { readNpm } from './npm.ts';
import { readDistribution } from './os-release.ts';
import { readPython } from './python.ts';

const READERS = [readDpkg, readApk, readNpm, readPython, readGo];

/** What the databases in an image say is in it. Nothing of the image is run, and nothing is asked elsewhere. */
export function takeInventory(files: ImageFiles, signal: AbortSignal): Inventory {
  const distribution = readDistribution(files);
  const found = READERS.flatMap((read) => {
    throwIfAborted(signal);
    return read(files);
  });
  const packages = [...new Map(found.map((pack) => [sortKey(pack), pack])).entries()]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, pack]) => pack);
  return { ...(distribution === undefined ? {} : { distribution }), packages };
}

function sortKey({ type, name, version, architecture = '', foundIn }: Package): string {
  return [type, name, version, architecture, foundIn].join('\0');
}
