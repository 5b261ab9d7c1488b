import type { BlobOptions } from '../../cache/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import type { Tree } from '../../layer/types.ts';
import type { Engine } from '../engine.ts';

export interface ClampOptions {
  readonly epochSec: number;
  readonly blob: BlobOptions;
  readonly signal: AbortSignal;
}

/** Layers without times after the epoch: those that have some are made anew, and known by their content from then on,
 * so the same files give the same layer whenever they were written. */
export async function clampTimes(
  layers: readonly LayerId[],
  engine: Pick<Engine, 'layers'>,
  options: ClampOptions,
): Promise<readonly LayerId[]> {
  const clamped: LayerId[] = [];
  for (const id of layers) clamped.push(id === EMPTY_LAYER ? id : await clampLayer(id, engine, options));
  return clamped;
}

async function clampLayer(
  id: LayerId,
  { layers }: Pick<Engine, 'layers'>,
  { epochSec, blob, signal }: ClampOptions,
): Promise<LayerId> {
  const tree = await layers.tree(id, signal);
  if (tree.every(({ mtimeSec }) => mtimeSec <= epochSec)) return id;
  const snapshot = await layers.snapshot(id, signal);
  const content = ({ path }: { readonly path: string }) => layers.fileIn(snapshot, path);
  const early: Tree = tree.map((entry) => ({ ...entry, mtimeSec: Math.min(entry.mtimeSec, epochSec) }));
  // The new layer is named after its tree, so that has to tell all content.
  const { hashTree } = await import('../../layer/tree/hash-tree.ts');
  const hashed = await hashTree(early, content, { signal });
  return layers.addFiles({ tree: hashed, content, snapshot: false, blob }, signal);
}
