import { describe, expect, it } from 'vitest';
import { diffTrees } from '../../../../src/layer/tree/diff-trees.ts';
import type { TreeEntry } from '../../../../src/layer/types.ts';

const file: TreeEntry = {
  path: 'a',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 3,
  mtimeSec: 0,
  digest: `sha256:${'1'.repeat(64)}`,
};

describe('diffTrees()', () => {
  it('gives nothing when the trees are equal', () => {
    expect(diffTrees([file], [{ ...file }])).toEqual([]);
  });

  it('names what was added and removed, in the order of paths', () => {
    expect(diffTrees([{ ...file, path: 'z' }], [file])).toEqual([
      { path: 'a', kind: 'added', facts: [] },
      { path: 'z', kind: 'removed', facts: [] },
    ]);
  });

  const CHANGES: [string, Partial<TreeEntry>, string[]][] = [
    ['mode', { mode: 0o4755 }, ['mode 0644 → 4755']],
    ['owner', { uid: 1, gid: 2 }, ['owner 0:0 → 1:2']],
    ['content of one size', { digest: `sha256:${'2'.repeat(64)}` }, ['content']],
    ['size', { size: 4, digest: `sha256:${'2'.repeat(64)}` }, ['size 3 → 4']],
    ['type', { type: 'symlink', size: 0, link: 'x' }, ['type file → symlink', 'size 3 → 0', 'link - → x']],
    ['device', { devMajor: 1 }, ['device 0:0 → 1:0']],
    ['attribute', { xattrs: { 'user.a': 'eA==' } }, ['attributes - → user.a=eA==']],
    ['time', { mtimeSec: 60 }, ['time 1970-01-01T00:00:00Z → 1970-01-01T00:01:00Z']],
  ];
  it.each(CHANGES)('says which %s changed', (_, change, facts) => {
    expect(diffTrees([file], [{ ...file, ...change }])).toEqual([{ path: 'a', kind: 'changed', facts }]);
  });
});
