import type { LayerStore } from '../../cache/types.ts';
import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { Definition } from '../../llb/definition.ts';
import { parseStepName } from '../../llb/step-name.ts';
import { graphNeeds } from '../graph-needs.ts';
import type { FetchReport, FetchSteps } from './fetch-step.ts';
import type { ImageSources } from './image-resolver.ts';

/** digest → told how many bytes of a layer have come. */
export type FetchReports = Map<Digest, (bytes: number) => void>;

/** Makes layers of base images known to the store. Moves nothing. */
export interface BaseLayers {
  /** Layers of one image; their downloads are shown as a step. */
  of(vertex: Digest, diffIds: readonly Digest[]): LayerId[];
  /** Those of every base image of a graph. Layers may be asked for below a cached step, which never runs the vertex
   * of the image: where they can be had now counts, not where an earlier build had them from. */
  know(definition: Definition): void;
}

export function createBaseLayers(deps: {
  readonly images: ImageSources;
  readonly layers: LayerStore;
  readonly fetches: FetchReports;
  readonly fetchSteps: FetchSteps;
}): BaseLayers {
  const { images, layers, fetches, fetchSteps } = deps;
  const names = new Map<Digest, string>();
  const steps = new Map<Digest, FetchReport>();
  // The step of the image itself ends at once: its layers come when somebody reads them.
  const stepOf = (vertex: Digest): FetchReport => {
    const step = steps.get(vertex) ?? fetchSteps.step(names.get(vertex) ?? 'base layers', vertex);
    steps.set(vertex, step);
    return step;
  };
  const of = (vertex: Digest, diffIds: readonly Digest[]): LayerId[] =>
    images.layersOf(diffIds).map(({ diffId, descriptor, origin }) => {
      fetches.set(descriptor.digest, (bytes) => stepOf(vertex)(descriptor, bytes));
      return layers.addBase({ diffId, descriptor, origin });
    });
  return {
    of,
    know(definition) {
      const needs = graphNeeds(definition, []);
      for (const { digest, op } of definition.vertices.values()) {
        if (op.kind !== 'source' || op.source.type !== 'image') continue;
        names.set(digest, imageName(definition.meta.get(digest)?.name ?? ''));
        const ids = of(digest, op.source.diffIds);
        if (needs.isRoot(digest)) layers.willMount(ids);
      }
    },
  };
}

/** `node:22`, of `[linux/arm64 build 1/4] FROM node:22`. */
function imageName(stepName: string): string {
  const { platform, text } = parseStepName(stepName);
  const name = text.replace(/^FROM /, '');
  return platform === undefined ? name : `${name} (${platform})`;
}
