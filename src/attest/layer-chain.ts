import type { Descriptor, Digest } from '../image/types.ts';
import type { Definition } from '../llb/definition.ts';

/**
 * Which layers stand after each of the steps that an image stands on.
 * @param layers the image's, base first; undefined for steps that changed nothing
 */
export function layersAfter(
  { vertices }: Definition,
  target: Digest | undefined,
  layers: readonly (Descriptor | undefined)[],
): ReadonlyMap<Digest, readonly Descriptor[]> {
  const after = new Map<Digest, readonly Descriptor[]>();

  function countOf(digest: Digest | undefined): number {
    const vertex = digest === undefined ? undefined : vertices.get(digest);
    if (vertex === undefined) return 0;
    const { op, inputs } = vertex;
    switch (op.kind) {
      case 'source':
        return op.source.type === 'image' ? op.source.diffIds.length : 0;
      case 'exec':
        return countOf(inputs[op.rootfs]) + 1;
      case 'file':
        return countOf(inputs[op.base]) + 1;
      case 'merge':
        return inputs.reduce((sum, input) => sum + countOf(input), 0);
    }
  }

  function baseOf(digest: Digest): Digest | undefined {
    const vertex = vertices.get(digest);
    if (vertex === undefined || vertex.op.kind === 'source') return undefined;
    const { op, inputs } = vertex;
    return op.kind === 'merge' ? inputs[0] : inputs[op.kind === 'exec' ? op.rootfs : op.base];
  }

  for (let at = target; at !== undefined; at = baseOf(at)) {
    after.set(
      at,
      layers.slice(0, countOf(at)).flatMap((layer) => layer ?? []),
    );
  }
  return after;
}
