import type { Digest } from '../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../layer/layer-id.ts';
import type { Result } from '../solver/types.ts';
import type { Engine } from './engine.ts';
import type { BuildGraph } from './graph.ts';
import { graphNeeds } from './graph-needs.ts';
import type { NormalOptions } from './normalise.ts';
import { blobOptions, isPackedOutput } from './outputs/image-outputs.ts';

/** Packs layers of the images while later steps run. What fails here fails again where it is waited for. */
export interface Prefetch {
  start(vertex: Digest, result: Result): void;
  settled(): Promise<void>;
}

export function createPrefetch(
  { definition, roots }: Pick<BuildGraph, 'definition' | 'roots'>,
  { engine, options, signal }: { engine: Engine; options: NormalOptions; signal: AbortSignal },
): Prefetch {
  const needs = graphNeeds(definition, roots);
  const wanted = options.outputs.find(isPackedOutput);
  const started = new Map<LayerId, Promise<unknown>>();
  return {
    start(vertex, { layers }) {
      if (wanted === undefined || !needs.isExported(vertex)) return;
      for (const id of layers) {
        if (id === EMPTY_LAYER || started.has(id)) continue;
        const packing = engine.layers.blob(id, blobOptions(wanted), signal);
        started.set(
          id,
          packing.catch(() => undefined),
        );
      }
    },
    async settled() {
      await Promise.all(started.values());
    },
  };
}
