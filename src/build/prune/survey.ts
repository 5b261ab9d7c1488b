import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { keptSteps } from '../failed/kept-steps.ts';
import { blobItems } from './blob-items.ts';
import { createHolds, type StoreParts, type SurveyContext } from './holds.ts';
import { layerItems } from './layer-items.ts';
import { otherItems } from './other-items.ts';
import type { StoreItem } from './types.ts';

/** Everything in a store that takes room. Sizes of snapshots and cache mounts are measured once and kept. */
export async function surveyStore(store: StoreParts, nowMs: number): Promise<readonly StoreItem[]> {
  const { db } = store;
  const holds = db.transaction(createHolds(store));
  const names = stepNames(store);
  const context: SurveyContext = { ...store, holds, nowMs, nameOf: (id) => names.get(id) };
  return [...blobItems(context), ...(await layerItems(context)), ...(await otherItems(context))];
}

/** The latest step that gave each layer. */
function stepNames({ root, db }: StoreParts): ReadonlyMap<LayerId, string> {
  const names = new Map<LayerId, string>();
  for (const { layers, name } of db.all(
    "SELECT layers, name FROM records WHERE kind = 'result' ORDER BY created_ms",
  )) {
    for (const id of JSON.parse(String(layers)) as LayerId[])
      if (id !== EMPTY_LAYER) names.set(id, String(name));
  }
  for (const { own, name } of keptSteps(root.dir)) names.set(own, `failed: ${name}`);
  return names;
}
