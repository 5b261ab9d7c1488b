import { describe, expect, it } from 'vitest';
import { graphNeeds } from '../../../src/build/graph-needs.ts';
import type { Digest } from '../../../src/image/types.ts';
import { createGraph } from '../../../src/llb/definition.ts';
import type { ExecOp, FileOp, Op } from '../../../src/llb/ops.ts';

const exec = (text: string, mounts: ExecOp['mounts'] = []): ExecOp => ({
  kind: 'exec',
  rootfs: 0,
  args: [text],
  env: [],
  cwd: '/',
  user: '',
  network: 'default',
  security: 'sandbox',
  mounts,
});
const copy: FileOp = {
  kind: 'file',
  base: 0,
  actions: [{ type: 'copy', from: 1, sources: [{ path: 'a', wildcard: false }], dest: '/' }],
};
const local: Op = { kind: 'source', source: { type: 'local', name: 'context', ignore: [] } };

/** base ← RUN tool (stage); base ← COPY --from=tool ← RUN end; and a merge of both on top. */
function build() {
  const graph = createGraph();
  const add = (op: Op, ...inputs: Digest[]) => graph.add(op, inputs, { name: op.kind });
  const context = add(local);
  const base = add({ ...copy, base: -1 }, context, context);
  const tool = add(exec('tool'), base);
  const copied = add(copy, base, tool);
  const end = add(
    exec('end', [{ type: 'bind', target: '/t', readonly: true, input: 1, source: '' }]),
    copied,
    tool,
  );
  const merged = add({ kind: 'merge' }, end, context);
  return { definition: graph.definition(), steps: { context, base, tool, copied, end, merged } };
}

function marked(target: 'tool' | 'copied' | 'end' | 'merged' | undefined, of: 'isExported' | 'isRoot') {
  const { definition, steps } = build();
  const needs = graphNeeds(definition, target === undefined ? [] : [steps[target]]);
  return Object.entries(steps).flatMap(([name, digest]) => (needs[of](digest) ? [name] : []));
}

describe('graphNeeds()', () => {
  it('exports what lies below the target, not what is copied or mounted from', () => {
    expect(marked('end', 'isExported')).toEqual(['base', 'copied', 'end']);
    expect(marked('tool', 'isExported')).toEqual(['base', 'tool']);
    expect(marked('merged', 'isExported')).toEqual(['context', 'base', 'copied', 'end', 'merged']);
    expect(marked(undefined, 'isExported')).toEqual([]);
  });

  it('calls a root what some RUN stands on, in whatever stage', () => {
    expect(marked('end', 'isRoot')).toEqual(['base', 'copied']);
  });
});
