import type { Digest } from '../image/types.ts';
import type { Definition, Vertex } from '../llb/definition.ts';

/** What the graph will ask of each vertex's layers, known before anything runs. */
export interface GraphNeeds {
  /** Its layers become part of an image. */
  isExported(vertex: Digest): boolean;
  /** A RUN stands on it. */
  isRoot(vertex: Digest): boolean;
}

export function graphNeeds({ vertices }: Definition, targets: readonly Digest[]): GraphNeeds {
  const exported = new Set<Digest>();
  const roots = new Set<Digest>();
  const mark = (digest: Digest | undefined, into: Set<Digest>): void => {
    const vertex = digest === undefined ? undefined : vertices.get(digest);
    if (vertex === undefined || into.has(vertex.digest)) return;
    into.add(vertex.digest);
    for (const below of basesOf(vertex)) mark(below, into);
  };
  for (const target of targets) mark(target, exported);
  for (const { op, inputs } of vertices.values()) {
    if (op.kind !== 'exec') continue;
    mark(inputs[op.rootfs], roots);
  }
  return { isExported: (vertex) => exported.has(vertex), isRoot: (vertex) => roots.has(vertex) };
}

/** The inputs whose layers lie below a vertex's own. */
function basesOf({ op, inputs }: Vertex): readonly (Digest | undefined)[] {
  switch (op.kind) {
    case 'exec':
      return [inputs[op.rootfs]];
    case 'file':
      return [inputs[op.base]];
    case 'merge':
      return inputs;
    case 'source':
      return [];
  }
}
