import type { ExportTree } from '../../exporter/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { fsPath } from '../../layer/path-bytes.ts';
import { mergeTrees } from '../../layer/tree/merge-trees.ts';
import { createTreeView } from '../../layer/tree/tree-view.ts';
import type { Engine } from '../engine.ts';

/** The file system of an image. */
export interface MergedTree extends ExportTree {
  /** Which of the layers that are not empty a path is from, base = 0; -1: none. */
  layerOf(path: string): number;
}

/** All layers as one tree; they are unpacked as far as they are not. Layers base first. */
export async function mergedTree(
  layers: readonly LayerId[],
  engine: Pick<Engine, 'layers'>,
  signal: AbortSignal,
): Promise<MergedTree> {
  const ids = layers.filter((id) => id !== EMPTY_LAYER);
  const snapshots = await Promise.all(ids.map((id) => engine.layers.snapshot(id, signal)));
  const trees = await Promise.all(ids.map((id) => engine.layers.tree(id, signal)));
  const view = createTreeView(trees);
  return {
    tree: mergeTrees(trees),
    content: (path) => fsPath(`${snapshots[view.layerOf(path)]}/${view.inodePath(path)}`),
    layerOf: view.layerOf,
  };
}
