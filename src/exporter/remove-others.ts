import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfAborted } from '../errors/error.ts';
import { decodeName, fsPath } from '../layer/path-bytes.ts';
import { parentOf } from '../layer/tree/tree-view.ts';
import type { Tree } from '../layer/types.ts';
import { exportError } from './export-error.ts';

const ENTRIES_PER_TURN = 256;

/**
 * Removes from a directory what a tree does not hold. Symlinks are removed, never followed: nothing outside of the
 * directory is touched.
 * @throws EXPORT_TARGET_INVALID, EXPORT_FAILED
 */
export async function removeOthers(dest: string, tree: Tree, signal: AbortSignal): Promise<void> {
  const kept = keptPaths(tree);
  let done = 0;
  const clean = async (dir: string): Promise<void> => {
    const at = dir === '' ? dest : `${dest}/${dir}`;
    for (const bytes of readdirSync(fsPath(at), { encoding: 'buffer' })) {
      const name = decodeName(bytes);
      const path = dir === '' ? name : `${dir}/${name}`;
      const file = fsPath(`${dest}/${path}`);
      if (++done % ENTRIES_PER_TURN === 0) {
        await nextTurn();
        throwIfAborted(signal);
      }
      if (!kept.has(path)) rmSync(file, { recursive: true, force: true });
      else if (lstatSync(file).isDirectory()) await clean(path);
    }
  };
  try {
    await clean('');
  } catch (error) {
    throwIfAborted(signal);
    throw exportError(error, dest);
  }
}

function keptPaths(tree: Tree): ReadonlySet<string> {
  const kept = new Set<string>();
  for (const { path, type } of tree) {
    if (['whiteout', 'opaque', 'socket'].includes(type)) continue;
    // A tree may hold a file without the directories above it.
    for (let at: string | undefined = path; at !== undefined && !kept.has(at); at = parentOf(at))
      kept.add(at);
  }
  return kept;
}
