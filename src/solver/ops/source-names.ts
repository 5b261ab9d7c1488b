import { parentOf } from '../../layer/tree/tree-view.ts';
import type { Tree } from '../../layer/types.ts';
import type { PlannedLayer, PlanSource } from './file-plan.ts';
import type { Selected } from './select.ts';

/** What a COPY took from a source that no step makes. */
export interface TakenFiles {
  readonly source: PlanSource;
  readonly selected: readonly Selected[];
}

/**
 * What the files of a planned layer are called where they come from. One that is no longer there is named after the
 * others of its directory.
 */
export function sourceNames(
  layer: PlannedLayer,
  taken: readonly TakenFiles[],
): (path: string) => string | undefined {
  // Most of the time a few names of many thousands are asked for, or none.
  let find: ((path: string) => string | undefined) | undefined;
  return (path) => {
    find ??= indexNames(layer, taken);
    return find(path);
  };
}

function indexNames({ tree, content }: PlannedLayer, taken: readonly TakenFiles[]) {
  const origins = new Map<string, string>();
  for (const { source, selected } of taken) {
    for (const { root, below } of selected) {
      for (const entry of [root, ...below.map((each) => each.entry)])
        if (entry.type === 'file') origins.set(String(source.content(entry).path), entry.path);
    }
  }
  const names = new Map<string, string>();
  /** Directory of the layer → that of the source. */
  const places = new Map<string, string>();
  for (const entry of files(tree)) {
    const name = origins.get(String(content(entry).path));
    if (name === undefined) continue;
    names.set(entry.path, name);
    places.set(parentOf(entry.path) ?? '', parentOf(name) ?? '');
  }
  return (path: string): string | undefined => names.get(path) ?? guess(path, places);
}

function files(tree: Tree): Tree {
  return tree.filter(({ type }) => type === 'file');
}

function guess(path: string, places: ReadonlyMap<string, string>): string | undefined {
  for (let dir = parentOf(path); dir !== undefined; dir = parentOf(dir)) {
    const place = places.get(dir);
    const rest = dir === '' ? path : path.slice(dir.length + 1);
    if (place !== undefined) return place === '' ? rest : `${place}/${rest}`;
    if (dir === '') return undefined;
  }
  return undefined;
}
