import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeTrees } from '../../src/layer/tree/merge-trees.ts';
import { sortTree } from '../../src/layer/tree/tree.ts';
import { treeChanges, withChanges } from '../../src/layer/tree/tree-changes.ts';
import type { Tree, TreeEntry } from '../../src/layer/types.ts';
import { runs } from '../support/runs.ts';

const name = fc.constantFrom('a', 'b', 'a-b', 'a.b', 'Ä');
const item = fc.record({
  path: fc.array(name, { minLength: 1, maxLength: 3 }),
  type: fc.constantFrom<TreeEntry['type']>('file', 'dir', 'symlink', 'char'),
  digit: fc.constantFrom('1', '2'),
  mode: fc.constantFrom(0o644, 0o755),
  mtimeSec: fc.constantFrom(0, 1),
  value: fc.option(fc.constantFrom('eA==', 'eQ=='), { nil: undefined }),
});

/** Every parent is listed, as in what a plan or a walk makes; what came first under a path stays. */
const tree: fc.Arbitrary<Tree> = fc.array(item, { maxLength: 14 }).map((items) => {
  const entries = new Map<string, TreeEntry>();
  for (const { path: parts, type, digit, mode, mtimeSec, value } of items) {
    const facts = { mode, uid: 0, gid: 0, size: 0, mtimeSec, ...(value && { xattrs: { 'user.a': value } }) };
    const parents = parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('/'));
    if (parents.some((parent) => (entries.get(parent)?.type ?? 'dir') !== 'dir')) continue;
    for (const path of parents) if (!entries.has(path)) entries.set(path, { ...facts, path, type: 'dir' });
    const path = parts.join('/');
    if (entries.has(path)) continue;
    entries.set(path, {
      ...{ ...facts, path, type },
      ...(type === 'file' ? { digest: `sha256:${digit.repeat(64)}` } : {}),
      ...(type === 'symlink' ? { link: digit } : {}),
      ...(type === 'char' ? { devMajor: 1, devMinor: Number(digit) } : {}),
    });
  }
  return sortTree([...entries.values()]);
});

describe('treeChanges()', () => {
  it('shows the later tree when it stands on the earlier one, and lists every parent', async () => {
    await fc.assert(
      fc.property(tree, tree, (before, after) => {
        const changes = treeChanges(before, after) ?? [];
        expect(mergeTrees([before, changes])).toEqual(after);
        expect(sortTree(withChanges(before, changes))).toEqual(after);
        const listed = new Set(changes.filter(({ type }) => type === 'dir').map(({ path }) => path));
        for (const { path } of changes) {
          const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
          if (parent !== '') expect(listed).toContain(parent);
        }
      }),
      runs(300),
    );
  });

  it('is empty when nothing changed', async () => {
    await fc.assert(
      fc.property(tree, (same) => {
        expect(treeChanges(same, structuredClone(same) as Tree)).toEqual([]);
      }),
      runs(50),
    );
  });
});
