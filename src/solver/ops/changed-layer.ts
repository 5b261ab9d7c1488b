import type { LayerId } from '../../layer/layer-id.ts';
import { treeChanges, withChanges } from '../../layer/tree/tree-changes.ts';
import type { Tree } from '../../layer/types.ts';
import type { CacheRecord, ExecContext } from '../types.ts';
import type { PlannedLayer } from './file-plan.ts';
import type { OpDeps } from './types.ts';

/** Fewer files are written sooner than compared. */
const MIN_ENTRIES = 1000;
/** A layer of changes is drawn up against the whole it stands on, so it grows; at this share a new whole is made. */
const MAX_SHARE = 1 / 4;
/** Wholes to compare with: projects may give their steps equal names. */
const MAX_WHOLES = 2;

interface Context extends Pick<ExecContext, 'previous' | 'signal'> {
  readonly deps: Pick<OpDeps, 'layers'>;
}

/**
 * The planned files as an earlier version of the step and a layer of what differs, for a result that only mounts show:
 * of 20,000 files, of which one was saved, one is written. Never more than two layers. Undefined where there is no
 * version near enough.
 */
export async function changesOnly(
  { tree, content }: PlannedLayer,
  { deps: { layers }, previous, signal }: Context,
): Promise<readonly LayerId[] | undefined> {
  if (tree.length < MIN_ENTRIES) return undefined;
  const wholes = new Map<LayerId, readonly LayerId[]>();
  for (const {
    layers: [whole, ...changed],
  } of previous)
    if (whole !== undefined && changed.length <= 1)
      wholes.set(whole, [...(wholes.get(whole) ?? []), ...changed]);
  for (const [whole, changed] of [...wholes].slice(0, MAX_WHOLES)) {
    if (!layers.hasSnapshot(whole)) continue;
    const changes = treeChanges(await layers.tree(whole, signal), tree);
    if (changes === undefined || changes.length > tree.length * MAX_SHARE) continue;
    if (changes.length === 0) return [whole];
    const layer = { tree: changes, content, snapshot: true, blob: undefined, previous: changed };
    return [whole, await layers.addFiles(layer, signal)];
  }
  return undefined;
}

/** What a record's layers show; undefined where one of them is gone. */
export async function treeOf(
  { layers: [whole, ...changed] }: Pick<CacheRecord, 'layers'>,
  { layers }: Pick<OpDeps, 'layers'>,
  signal: AbortSignal,
): Promise<Tree | undefined> {
  if (whole === undefined || ![whole, ...changed].every(layers.available)) return undefined;
  let tree = await layers.tree(whole, signal);
  for (const id of changed) tree = withChanges(tree, await layers.tree(id, signal));
  return tree;
}
