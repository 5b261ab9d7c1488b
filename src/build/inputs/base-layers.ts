import type { LayerStore } from '../../cache/types.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { Definition } from '../../llb/definition.ts';
import type { EventSink } from '../../solver/types.ts';
import { graphNeeds } from '../graph-needs.ts';
import type { ImageSources } from './image-resolver.ts';

/** digest → told how many bytes of a layer have come. */
export type FetchReports = Map<Digest, (bytes: number) => void>;

/** Makes layers of base images known to the store. Moves nothing. */
export interface BaseLayers {
  /** Layers of one image; their downloads are shown beside `vertex`. */
  of(vertex: Digest, diffIds: readonly Digest[]): LayerId[];
  /** Those of every base image of a graph. Layers may be asked for below a cached step, which never runs the vertex
   * of the image: where they can be had now counts, not where an earlier build had them from. */
  know(definition: Definition): void;
}

export function createBaseLayers(deps: {
  readonly images: ImageSources;
  readonly layers: LayerStore;
  readonly fetches: FetchReports;
  readonly emit: EventSink;
}): BaseLayers {
  const { images, layers, fetches, emit } = deps;
  const of = (vertex: Digest, diffIds: readonly Digest[]): LayerId[] =>
    images.layersOf(diffIds).map(({ diffId, descriptor, origin }) => {
      fetches.set(descriptor.digest, fetchReporter(descriptor, vertex, emit));
      return layers.addBase({ diffId, descriptor, origin });
    });
  return {
    of,
    know(definition) {
      const needs = graphNeeds(definition, []);
      for (const { digest, op } of definition.vertices.values()) {
        if (op.kind !== 'source' || op.source.type !== 'image') continue;
        const ids = of(digest, op.source.diffIds);
        if (needs.isRoot(digest)) layers.willMount(ids);
      }
    },
  };
}

function fetchReporter(
  { digest, size }: Descriptor,
  vertex: Digest,
  emit: EventSink,
): (bytes: number) => void {
  return (current) =>
    emit({
      kind: 'status',
      time: Date.now(),
      vertex,
      id: digest,
      current,
      total: size,
      ...(current >= size ? { done: true } : {}),
    });
}
