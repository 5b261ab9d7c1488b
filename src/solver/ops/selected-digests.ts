import { EMPTY_DIGEST } from '../../image/digest.ts';
import type { Digest } from '../../image/types.ts';
import type { Tree, TreeEntry } from '../../layer/types.ts';
import type { LayeredSource } from './layered-source.ts';
import type { Selected } from './select.ts';
import type { LocalFiles, StepDeps } from './types.ts';

/** Fills in the content digests of what was selected; reads only files whose digest is not known yet. */
export async function withDigests(
  selected: readonly Selected[],
  source: LocalFiles | LayeredSource,
  deps: StepDeps,
  signal: AbortSignal,
): Promise<Selected[]> {
  const entries = selected.flatMap((one) => [one.root, ...one.below.map(({ entry }) => entry)]);
  const files = entries.filter((entry) => entry.type === 'file');
  if ('ready' in source)
    await source.ready(entries.filter(({ type }) => type === 'file' || type === 'socket'));
  const known =
    'digests' in source ? await source.digests(files, signal) : digestMap(await deps.hashTree(files, source));
  const fill = (entry: TreeEntry): TreeEntry => {
    // As Docker copies it.
    if (entry.type === 'socket') return { ...entry, type: 'file', size: 0, digest: EMPTY_DIGEST };
    const digest = entry.type === 'file' ? known.get(entry.path) : undefined;
    return digest === undefined || digest === entry.digest ? entry : { ...entry, digest };
  };
  return selected.map((one) => ({
    ...one,
    root: fill(one.root),
    below: one.below.map((each) => {
      const entry = fill(each.entry);
      return entry === each.entry ? each : { ...each, entry };
    }),
  }));
}

function digestMap(tree: Tree): ReadonlyMap<string, Digest> {
  return new Map(tree.flatMap(({ path, digest }) => (digest === undefined ? [] : [[path, digest] as const])));
}

/** A selected source as a tree of its own: where it lies in its file system does not count. */
export function selectedTree({ root, below }: Selected): Tree {
  return [
    { ...root, path: '' },
    ...below.map(
      ({ relative, entry }): TreeEntry => (relative === entry.path ? entry : { ...entry, path: relative }),
    ),
  ];
}
