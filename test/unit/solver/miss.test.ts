import { describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/image/types.ts';
import { createGraph, type Definition } from '../../../src/llb/definition.ts';
import type { ExecOp } from '../../../src/llb/ops.ts';
import { createMissExplainer } from '../../../src/solver/miss.ts';
import type { CacheRecord, CacheStore, Ingredient } from '../../../src/solver/types.ts';

const exec = (command: string, rootfs = -1): ExecOp => ({
  ...{ kind: 'exec', rootfs, args: [command], env: [], cwd: '/', user: '' },
  ...{ network: 'default', security: 'sandbox', mounts: [] },
});

function recordOf(name: string, values: Readonly<Record<string, string>>): CacheRecord {
  const ingredients = Object.entries(values).map(([key, value]): Ingredient => ({ name: key, value }));
  return { key: 'sha256:0', kind: 'result', layers: [], ingredients, name };
}

/** Steps on top of each other, and the records of the last builds, newest first. */
function stack(
  names: readonly string[],
  history: readonly CacheRecord[],
  ignored: readonly string[] = [],
  { elsewhere = [], built = [] }: { elsewhere?: readonly CacheRecord[]; built?: readonly string[] } = {},
) {
  const graph = createGraph();
  const digests: Digest[] = [];
  for (const name of names) {
    const below = digests.slice(-1);
    const meta = { name, ...(ignored.includes(name) ? { ignoreCache: true } : {}) };
    digests.push(graph.add(exec(name, below.length - 1), below, meta));
  }
  const definition: Definition = graph.definition();
  const cache: CacheStore = {
    lookup: async () => undefined,
    save: async () => undefined,
    lock: () => Promise.reject(new Error('not asked for')),
    previous: () => elsewhere,
    history: () => history,
  };
  const wasBuilt = (name: string): boolean => built.includes(name);
  const explainer = createMissExplainer(definition, { cache, scope: 'here', wasBuilt });
  return (index: number, values: Readonly<Record<string, string>>, files: readonly string[] = []) => {
    const digest = digests[index] as Digest;
    const vertex = definition.vertices.get(digest);
    if (vertex === undefined) throw new RangeError(`There is no step ${index}`);
    const { ingredients } = recordOf('', values);
    const meta = definition.meta.get(digest) ?? { name: '' };
    return explainer.explain({ vertex, meta, ingredients, more: async () => files });
  };
}

describe('createMissExplainer()', () => {
  it('says that it is the first build when there is no record', async () => {
    expect(await stack(['[1/1] RUN a'], [])(0, { op: 'x' })).toEqual(['first build of this step']);
  });

  it('says that the cache was not asked', async () => {
    const explain = stack(['[1/1] RUN a'], [recordOf('[1/1] RUN a', { op: 'x' })], ['[1/1] RUN a']);
    expect(await explain(0, { op: 'x' })).toEqual(['the cache was not asked (--no-cache)']);
  });

  it('says that the result was pruned when nothing else changed', async () => {
    const explain = stack(['[1/1] RUN a'], [recordOf('[1/1] RUN a', { op: 'x' })]);
    expect(await explain(0, { op: 'x' })).toEqual(['its earlier result was pruned from the store']);
  });

  it('says that the result was pruned when only the record of the build is left', async () => {
    const explain = stack(['[1/1] RUN a'], [], [], { built: ['[1/1] RUN a'] });
    expect(await explain(0, { op: 'x' })).toEqual(['its earlier result was pruned from the store']);
  });

  it('says that the result was pruned when an older instruction in its place is left', async () => {
    const left = [recordOf('[1/1] RUN a', { op: 'a' })];
    const explain = stack(['[1/1] RUN b'], left, [], { built: ['[1/1] RUN a', '[1/1] RUN b'] });
    expect(await explain(0, { op: 'b' })).toEqual(['its earlier result was pruned from the store']);
  });

  it('compares with what another checkout built when this one had it cached', async () => {
    const name = '[1/1] COPY . .';
    const elsewhere = [recordOf(name, { op: 'y' }), recordOf(name, { op: 'x', 'files of "."': '1' })];
    const now = { op: 'x', 'files of "."': '2' };
    const cached = stack([name], [], [], { elsewhere, built: [name] });
    expect(await cached(0, now, ['a changed'])).toEqual(['a changed']);
    expect(await stack([name], [], [], { elsewhere })(0, now, ['a changed'])).toEqual([
      'first build of this step',
    ]);
  });

  it('says of a mount only which of its files changed where they have names', async () => {
    const explain = stack(
      ['[internal] mount /src', '[1/1] RUN a'],
      [
        recordOf('[internal] mount /src', { op: 'm' }),
        recordOf('[1/1] RUN a', { op: 'x', 'mount /src': '1', 'input 0': '1' }),
      ],
    );
    await explain(0, { op: 'm' }, ['src/b changed']);
    expect(await explain(1, { op: 'x', 'mount /src': '2', 'input 0': '2' })).toEqual(['src/b changed']);
  });

  it('names the value that changed where it is a part of the name, too', async () => {
    const explain = stack(['[1/1] RUN make 2'], [recordOf('[1/1] RUN make 1', { op: 'x', 'ARG V': '1' })]);
    expect(await explain(0, { op: 'x', 'ARG V': '2' })).toEqual(['ARG V 1 → 2']);
  });

  it('says that the instruction changed when another one stood in its place', async () => {
    const explain = stack(['[1/1] RUN b'], [recordOf('[1/1] RUN a', { op: 'a' })]);
    expect(await explain(0, { op: 'b' })).toEqual(['the instruction changed']);
  });

  it('knows a step again when lines were added above it', async () => {
    const history = [recordOf('[build 1/1] RUN a', { op: 'a', 'env X': '1' })];
    const explain = stack(['[build 1/2] RUN new', '[build 2/2] RUN a'], history);
    expect(await explain(0, { op: 'new' })).toEqual(['first build of this step']);
    expect(await explain(1, { op: 'a', 'env X': '1', 'input 0': 'other' })).toEqual([
      'because [build 1/2] RUN new is new',
    ]);
  });

  it('names the step that changed, and not those in between', async () => {
    const names = ['[build 1/3] COPY . .', '[build 2/3] RUN a', '[build 3/3] RUN b'];
    const history = names.map((name) => recordOf(name, { op: name, 'input 0': '1' }));
    const explain = stack(names, history);
    const now = (name = ''): Record<string, string> => ({ op: name, 'input 0': '2' });
    expect(await explain(0, { op: names[0] ?? '', 'input 0': '1' }, ['src/a.ts changed'])).toEqual([
      'src/a.ts changed',
    ]);
    expect(await explain(1, now(names[1]))).toEqual(['because [build 1/3] COPY . . changed']);
    expect(await explain(2, now(names[2]))).toEqual(['because [build 1/3] COPY . . changed']);
  });

  it('names what ran again below a step that was found again', async () => {
    const names = ['[1/3] RUN a', '[2/3] COPY . .', '[3/3] RUN b'];
    const history = names.map((name) => recordOf(name, { op: name, 'input 0': '1' }));
    const explain = stack(names, history);
    await explain(0, { op: names[0] ?? '', 'input 0': '1', 'env X': '2' });
    expect(await explain(2, { op: names[2] ?? '', 'input 0': '2' })).toEqual(['because [1/3] RUN a changed']);
  });

  it('looks once at steps that many ways lead to', async () => {
    const graph = createGraph();
    let last = graph.add(exec('0'), [], { name: '0' });
    for (let stage = 1; stage < 40; stage++) {
      const copied = graph.add(exec(`${stage}`, 0), [last], { name: `${stage}` });
      last = graph.add({ kind: 'merge' }, [last, copied], { name: `${stage}` });
    }
    const digest = graph.add(exec('last', 0), [last], { name: 'last' });
    const definition = graph.definition();
    const explainer = createMissExplainer(definition, {
      scope: undefined,
      cache: { previous: () => [recordOf('last', { 'input 0': 'x' })] },
    });
    const vertex = definition.vertices.get(digest);
    if (vertex === undefined) throw new Error('The step was added');
    const { ingredients } = recordOf('', { 'input 0': 'y' });
    const step = { vertex, meta: { name: 'last' }, ingredients, more: async () => [] };
    expect(await explainer.explain(step)).not.toEqual([]);
  });

  it('names no step that this build did not run when the step itself changed', async () => {
    const names = ['[1/2] RUN a', '[2/2] COPY . .'];
    const history = names.map((name) => recordOf(name, { op: name, 'input 0': '1' }));
    const now = { op: names[1] ?? '', 'input 0': '2' };
    expect(await stack(names, history)(1, now, ['a changed'])).toEqual(['a changed']);
    expect(await stack(names, history)(1, now)).toEqual(['because [1/2] RUN a changed']);
  });

  it('compares with the run that differs least', async () => {
    const name = '[1/1] RUN a';
    const history = [
      recordOf(name, { op: 'a', 'ARG V': '2', 'env MODE': 'a' }),
      recordOf(name, { op: 'a', 'ARG V': '1', 'env MODE': 'a' }),
    ];
    expect(await stack([name], history)(0, { op: 'a', 'ARG V': '1', 'env MODE': 'b' })).toEqual([
      'ENV MODE a → b',
    ]);
  });

  it('compares with the newest run of those with the same values', async () => {
    const name = '[2/2] COPY . .';
    const history = [
      recordOf(name, { op: 'c', 'files of .': '2', 'input 0': '1' }),
      recordOf(name, { op: 'c', 'files of .': '1', 'input 0': '2' }),
    ];
    const explain = stack(['[1/2] RUN a', name], history);
    expect(await explain(1, { op: 'c', 'files of .': '2', 'input 0': '2' })).toEqual([
      'because [1/2] RUN a changed',
    ]);
  });

  it('names the base image as the cause of all that stands on it', async () => {
    const names = ['[1/2] RUN a', '[2/2] RUN b'];
    const history = [
      recordOf('[1/2] RUN a', { op: 'a', 'base image': 'alpine@sha256:a' }),
      recordOf('[2/2] RUN b', { op: 'b', 'input 0': '1' }),
    ];
    const explain = stack(names, history);
    const change = 'base image alpine updated (sha256:a → sha256:b)';
    expect(await explain(0, { op: 'a', 'base image': 'alpine@sha256:b' })).toEqual([change]);
    expect(await explain(1, { op: 'b', 'input 0': '2' })).toEqual([`because ${change}`]);
  });

  it('names the base image also where a step in between was found again', async () => {
    const names = ['[1/3] WORKDIR /w', '[2/3] RUN a', '[3/3] RUN b'];
    const history = names.map((name) =>
      recordOf(name, { op: name, 'input 0': '1', rootfs: '1', 'root image': 'alpine@sha256:a' }),
    );
    const explain = stack(names, history);
    const now = { 'input 0': '2', rootfs: '2', 'root image': 'alpine@sha256:b' };
    const change = 'base image alpine updated (sha256:a → sha256:b)';
    expect(await explain(1, { op: '[2/3] RUN a', ...now })).toEqual([change]);
    expect(await explain(2, { op: '[3/3] RUN b', ...now })).toEqual([`because ${change}`]);
  });

  it('says that a step was run anew when that is what the next one stands on', async () => {
    const names = ['[1/2] RUN a', '[2/2] RUN b'];
    const history = names.map((name) => recordOf(name, { op: name, 'input 0': '1' }));
    const explain = stack(names, history, ['[1/2] RUN a']);
    await explain(0, { op: names[0] ?? '' });
    expect(await explain(1, { op: names[1] ?? '', 'input 0': '2' })).toEqual([
      'because [1/2] RUN a ran anew (--no-cache)',
    ]);
  });

  it('names the step below that had to be built again when its result was pruned', async () => {
    const names = ['[1/2] RUN a', '[2/2] RUN b'];
    const history = names.map((name) => recordOf(name, { op: name, rootfs: '1' }));
    const explain = stack(names, history);
    await explain(0, { op: names[0] ?? '', rootfs: '1' });
    expect(await explain(1, { op: names[1] ?? '', rootfs: '2' })).toEqual([
      'because [1/2] RUN a was built again',
    ]);
  });
});
