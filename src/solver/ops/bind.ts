import type { Definition, Vertex, VertexMeta } from '../../llb/definition.ts';
import type { SolverOp } from '../types.ts';
import { bindExec } from './exec.ts';
import { bindFile } from './file.ts';
import { bindMerge } from './merge.ts';
import { bindImage } from './source.ts';
import type { OpDeps } from './types.ts';

/** Binds LLB data to behaviour: the one place that knows all kinds of ops. */
export function createBinder(
  definition: Definition,
  deps: OpDeps,
): (vertex: Vertex, meta: VertexMeta) => SolverOp {
  return (vertex) => {
    const { op } = vertex;
    switch (op.kind) {
      case 'exec':
        return bindExec(op, deps);
      case 'file':
        return bindFile(op, vertex, definition, deps);
      case 'merge':
        return bindMerge(op);
      case 'source':
        if (op.source.type === 'image') return bindImage(op.source, vertex.digest, deps);
        throw new TypeError(
          'Cannot solve a local source by itself: only the files that a copy selects count',
        );
    }
  };
}
