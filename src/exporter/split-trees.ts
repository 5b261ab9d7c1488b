import { OcibuildError } from '../errors/error.ts';
import { formatPlatform } from '../image/platform.ts';
import type { Platform } from '../image/types.ts';
import { compareEntries } from '../layer/tree/tree.ts';
import type { Tree, TreeEntry } from '../layer/types.ts';
import type { ExportTree } from './types.ts';

/** The file system of one platform's image. */
export interface PlatformTree {
  readonly platform: Platform;
  readonly files: ExportTree;
}

/** `linux_arm_v7`: the directory of a platform. */
export function platformDir(platform: Platform): string {
  return formatPlatform(platform).replaceAll('/', '_');
}

/** All of them as one file system, each below the directory of its platform. Directories are in sorted order. */
export function splitTrees(trees: readonly PlatformTree[], epochSec = 0): ExportTree {
  const named = trees.map(({ platform, files }) => ({ dir: platformDir(platform), files }));
  const byDir = new Map(named.map(({ dir, files }) => [dir, files]));
  const sorted = [...byDir].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    tree: sorted.flatMap(([dir, { tree }]) => [dirEntry(dir, epochSec), ...below(dir, tree)]),
    content(path) {
      const slash = path.indexOf('/');
      const files = byDir.get(path.slice(0, slash));
      if (files === undefined) throw new RangeError(`Cannot find "${path}" in the trees of the platforms`);
      return files.content(path.slice(slash + 1));
    },
  };
}

/**
 * All of them in one directory tree.
 * @throws EXPORT_TARGET_INVALID when two platforms have a path that is not a directory in both
 */
export function joinTrees(trees: readonly PlatformTree[]): ExportTree {
  const owners = new Map<string, { readonly entry: TreeEntry; readonly part: PlatformTree }>();
  for (const part of trees) {
    for (const entry of part.files.tree) {
      const known = owners.get(entry.path);
      if (known === undefined) owners.set(entry.path, { entry, part });
      else if (entry.type !== 'dir' || known.entry.type !== 'dir') {
        throw clash(entry.path, known.part.platform, part.platform);
      }
    }
  }
  return {
    tree: [...owners.values()].map(({ entry }) => entry).sort(compareEntries),
    content(path) {
      const owner = owners.get(path);
      if (owner === undefined) throw new RangeError(`Cannot find "${path}" in the trees of the platforms`);
      return owner.part.files.content(path);
    },
  };
}

function clash(path: string, first: Platform, second: Platform): OcibuildError {
  const both = `${formatPlatform(first)} and ${formatPlatform(second)}`;
  return new OcibuildError(
    'EXPORT_TARGET_INVALID',
    `Cannot export "/${path}" of ${both} to one directory: both have it`,
    { hint: 'leave platform-split=false out, or name one platform', details: { path } },
  );
}

function dirEntry(path: string, mtimeSec: number): TreeEntry {
  return { path, type: 'dir', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSec };
}

function below(dir: string, tree: Tree): TreeEntry[] {
  return tree.flatMap((entry): TreeEntry[] => {
    if (entry.path === '') return [];
    const link = entry.type === 'hardlink' ? { link: `${dir}/${entry.link ?? ''}` } : {};
    return [{ ...entry, ...link, path: `${dir}/${entry.path}` }];
  });
}
