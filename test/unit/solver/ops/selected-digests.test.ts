import { describe, expect, it } from 'vitest';
import { treeDigest } from '../../../../src/layer/tree/tree.ts';
import { createTreeView } from '../../../../src/layer/tree/tree-view.ts';
import type { Tree } from '../../../../src/layer/types.ts';
import { layeredSource } from '../../../../src/solver/ops/layered-source.ts';
import { selectSources } from '../../../../src/solver/ops/select.ts';
import { selectedTree, withDigests } from '../../../../src/solver/ops/selected-digests.ts';
import { entry, opDeps, sha256, signal, treeOf } from './fixture.ts';

const bare = (tree: Tree): Tree => tree.map(({ digest: _, ...facts }) => facts);

describe('withDigests()', () => {
  it('asks a local source for the files that were selected, and no others', async () => {
    const files = treeOf('a', 'd/', 'd/b', 'd/l -> b');
    const asked: string[] = [];
    const { deps } = opDeps({ local: { context: files } });
    const local = await deps.external({ type: 'local', name: 'context', ignore: [] }).open(signal);
    const source = {
      ...local,
      view: createTreeView([bare(files)]),
      digests: (entries: Tree) => {
        asked.push(...entries.map(({ path }) => path));
        return Promise.resolve(new Map(entries.map(({ path }) => [path, sha256(`content of ${path}`)])));
      },
    };
    const selected = selectSources(source.view, [{ path: 'd', wildcard: false }]);
    const [found] = await withDigests(selected, source, deps, signal);
    expect(asked).toEqual(['d/b']);
    expect(found?.below.map(({ entry: { digest } }) => digest)).toEqual([
      sha256('content of d/b'),
      undefined,
    ]);
  });

  it('unpacks only the layers that a selected file lies in', async () => {
    const { deps, recorded } = opDeps({ layers: { low: treeOf('low'), high: treeOf('high') } });
    const source = await layeredSource(['low', 'high'], deps, signal);
    const selected = selectSources(source.view, [{ path: 'high', wildcard: false }]);
    await withDigests(selected, source, deps, signal);
    expect(recorded.snapshots).toEqual(['high']);
    expect(() => source.content(entry('low'))).toThrow(/before it is ready/);
  });
});

describe('selectedTree()', () => {
  const digestAt = (tree: Tree, path: string) => {
    const [one] = selectSources(createTreeView([tree]), [{ path, wildcard: false }]);
    if (one === undefined) throw new RangeError(path);
    return treeDigest(selectedTree(one));
  };

  it('is the same wherever the source lies', () => {
    const here = digestAt(treeOf('x/', 'x/a=1'), 'x');
    expect(digestAt(treeOf('y/', 'y/z/', 'y/z/a=1'), 'y/z')).toBe(here);
    expect(digestAt(treeOf('x/', 'x/b=1'), 'x')).not.toBe(here);
    expect(digestAt(treeOf('x/', 'x/a=2'), 'x')).not.toBe(here);
  });
});
