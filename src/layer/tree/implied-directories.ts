import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Tree } from '../types.ts';
import { parentOf } from './tree-view.ts';

/** Directories that a layer has entries in and no entry for: they are what the layers below say. */
function impliedDirectories(tree: Tree): string[] {
  const listed = new Set<string>();
  for (const { path, type } of tree) if (type !== 'whiteout' && type !== 'opaque') listed.add(path);
  const implied = new Set<string>();
  for (const { path, type } of tree) {
    let parent = type === 'opaque' ? path : parentOf(path);
    for (; parent && !listed.has(parent) && !implied.has(parent); parent = parentOf(parent))
      implied.add(parent);
  }
  return [...implied];
}

/** Notes them beside the snapshot, whose own directories at these paths are made up. */
export function noteImplied(snapshot: string, tree: Tree): void {
  const paths = impliedDirectories(tree);
  if (paths.length > 0) writeFileSync(fileOf(snapshot), JSON.stringify(paths));
}

/** What was noted of a snapshot. */
export function impliedIn(snapshot: string): readonly string[] {
  try {
    return JSON.parse(readFileSync(fileOf(snapshot), 'utf8')) as string[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function fileOf(snapshot: string): string {
  return join(dirname(snapshot), 'implied.json');
}
