import { OcibuildError } from '../../errors/error.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { createTreeView, resolvePath } from '../../layer/tree/tree-view.ts';
import type { TreeEntry } from '../../layer/types.ts';
import type { PlanSource } from './file-plan.ts';
import type { StepDeps } from './types.ts';

/** `ready` unpacks what the entries lie in; `content` works for those. */
export interface LayeredSource extends PlanSource {
  ready(entries: readonly TreeEntry[]): Promise<void>;
}

/** A stack of layers as a source of files; snapshots are made only of layers that a file is read from. */
export async function layeredSource(
  ids: readonly LayerId[],
  deps: StepDeps,
  signal: AbortSignal,
): Promise<LayeredSource> {
  const layers = ids.filter((id) => id !== EMPTY_LAYER);
  const trees = await Promise.all(layers.map((id) => deps.layers.tree(id, signal)));
  const view = createTreeView(trees);
  const directories = new Map<number, string>();
  return {
    view,
    async ready(entries) {
      const wanted = new Set(entries.map((entry) => view.layerOf(entry.path)));
      for (const i of wanted) {
        const id = layers[i];
        if (id !== undefined && !directories.has(i))
          directories.set(i, await deps.layers.snapshot(id, signal));
      }
    },
    content(entry) {
      const layer = view.layerOf(entry.path);
      const directory = directories.get(layer);
      if (directory === undefined)
        throw new OcibuildError('INTERNAL', `Cannot read "/${entry.path}" before it is ready`);
      return deps.layers.fileIn(directory, view.inodePath(entry.path));
    },
  };
}

/**
 * Reads a small file of a layered root, symlinks followed inside it; undefined when it is not there.
 * @throws COPY_INVALID when it is larger than `maxBytes`
 */
export async function readSmallFile(
  source: LayeredSource,
  path: string,
  options: { readonly maxBytes: number; readonly read: (path: string | Buffer) => Buffer },
): Promise<Buffer | undefined> {
  const found = resolvePath(source.view, path, { followLast: true })?.entry;
  if (found?.type !== 'file') return undefined;
  if (found.size > options.maxBytes) {
    throw new OcibuildError(
      'COPY_INVALID',
      `Cannot read "/${path}": it has ${found.size} B, more than the ${options.maxBytes} B allowed`,
    );
  }
  await source.ready([found]);
  return options.read(source.content(found).path);
}
