import type { MergeOp } from '../../llb/ops.ts';
import type { SolverOp } from '../types.ts';

/** Layers of all inputs, one on the other: nothing is run or copied. */
export function bindMerge(op: MergeOp): SolverOp {
  return {
    cacheable: false,
    queue: 'io',
    cacheMap: () => ({ own: [{ name: 'op', value: op.kind }], deps: [] }),
    resultIngredients: async () => [],
    base: (inputs) => inputs.flatMap((input) => input?.layers ?? []),
    exec: async () => [],
  };
}
