import type { Digest } from '../../image/types.ts';
import type { ImageSource } from '../../llb/ops.ts';
import type { SolverOp } from '../types.ts';
import type { OpDeps } from './types.ts';

/** A base image: its layers become known, no byte moves. Keyed by the chain of its diffIDs, so another tag or
 * another compression of the same layers hits. */
export function bindImage(source: ImageSource, vertex: Digest, deps: OpDeps): SolverOp {
  return {
    cacheable: false,
    queue: 'io',
    cacheMap: () => ({ own: [{ name: 'base layers', value: source.diffIds.join(' ') }], deps: [] }),
    resultIngredients: async () => [],
    base: () => [],
    exec: async () => deps.imageLayers(vertex, source.diffIds),
  };
}
