import { describe, expect, it } from 'vitest';
import { mergeTrees } from '../../../../src/layer/tree/merge-trees.ts';
import { compareEntries, sortTree, treeDigest } from '../../../../src/layer/tree/tree.ts';
import type { Tree } from '../../../../src/layer/types.ts';
import { entryOf, sha256 } from '../../../support/layers.ts';

const names = (tree: Tree): string[] => tree.map((entry) => `${entry.type} ${entry.path}`);
const file = (path: string, text = path) =>
  entryOf(path, 'file', { size: text.length, digest: sha256(text) });

describe('sortTree()', () => {
  it('puts a directory right before its content when a name sorts below the slash', () => {
    const tree = sortTree(['a-b', 'a', 'a/z', 'a.b', 'a/b/c', 'a/b'].map((path) => entryOf(path, 'dir')));
    expect(tree.map((entry) => entry.path)).toEqual(['a', 'a/b', 'a/b/c', 'a/z', 'a-b', 'a.b']);
  });

  it('puts opaque marks and whiteouts before siblings when they share a directory', () => {
    const tree = sortTree([
      file('d/a'),
      entryOf('d/z', 'whiteout'),
      entryOf('d', 'opaque'),
      entryOf('d', 'dir'),
      entryOf('d/b/x', 'whiteout'),
      entryOf('d/b', 'dir'),
      entryOf('', 'opaque'),
      entryOf('top', 'whiteout'),
    ]);
    expect(names(tree)).toEqual([
      'opaque ',
      'whiteout top',
      'dir d',
      'opaque d',
      'whiteout d/z',
      'file d/a',
      'dir d/b',
      'whiteout d/b/x',
    ]);
  });

  it('makes the first path of an inode the file when links come before it', () => {
    const data = entryOf('m', 'file', { size: 3, mode: 0o600, digest: sha256('abc') });
    const tree = sortTree([
      data,
      entryOf('a', 'hardlink', { link: 'm' }),
      entryOf('z', 'hardlink', { link: 'a' }),
    ]);
    expect(tree[0]).toEqual({ ...data, path: 'a' });
    expect(tree.slice(1)).toEqual([
      entryOf('m', 'hardlink', { link: 'a', mode: 0o600 }),
      entryOf('z', 'hardlink', { link: 'a', mode: 0o600 }),
    ]);
  });

  it('gives the same array when it is canonical already', () => {
    const tree = [entryOf('a', 'dir'), file('a/f'), entryOf('b', 'hardlink', { link: 'a/f' })];
    expect(sortTree(tree)).toBe(tree);
  });

  it('agrees with compareEntries() when entries are shuffled', () => {
    const tree = sortTree([
      file('b'),
      entryOf('a', 'dir'),
      entryOf('a', 'opaque'),
      entryOf('a/w', 'whiteout'),
    ]);
    expect([...tree].reverse().sort(compareEntries)).toEqual(tree);
  });
});

describe('treeDigest()', () => {
  const base = [file('a', 'text')];
  it('stays equal when only times differ', () => {
    expect(treeDigest([{ ...file('a', 'text'), mtimeSec: 99 }])).toBe(treeDigest(base));
  });

  it.each([
    { mode: 0o600 },
    { uid: 1 },
    { gid: 1 },
    { size: 5 },
    { path: 'b' },
    { digest: sha256('other') },
    { xattrs: { 'user.a': 'AA==' } },
  ])('differs when %j is changed', (change) => {
    expect(treeDigest([{ ...file('a', 'text'), ...change }])).not.toBe(treeDigest(base));
  });

  it('ignores the order of attributes when they are equal', () => {
    const one = { ...file('a'), xattrs: { 'user.a': 'AA==', 'user.b': 'AQ==' } };
    const other = { ...file('a'), xattrs: { 'user.b': 'AQ==', 'user.a': 'AA==' } };
    expect(treeDigest([one])).toBe(treeDigest([other]));
  });

  it('throws when a file was not hashed yet', () => {
    expect(() => treeDigest([entryOf('a', 'file', { size: 1 })])).toThrow(TypeError);
  });
});

describe('mergeTrees()', () => {
  it('applies whiteouts and opaque marks to lower layers only when they stand anywhere', () => {
    const lower = [entryOf('d', 'dir'), file('d/old'), entryOf('e', 'dir'), file('e/old'), file('gone')];
    const upper = [entryOf('gone', 'whiteout'), entryOf('d', 'dir'), file('d/new'), entryOf('d', 'opaque')];
    expect(names(mergeTrees([lower, upper]))).toEqual(['dir d', 'file d/new', 'dir e', 'file e/old']);
  });

  it('drops the content of a directory when a file takes its place', () => {
    const lower = [entryOf('d', 'dir'), file('d/x')];
    expect(names(mergeTrees([lower, [file('d')]]))).toEqual(['file d']);
    expect(names(mergeTrees([lower, [file('d')], [entryOf('d', 'dir')]]))).toEqual(['dir d']);
  });

  it('keeps children when a directory only changes its attributes', () => {
    const lower = [entryOf('d', 'dir'), file('d/x')];
    const merged = mergeTrees([lower, [entryOf('d', 'dir', { mode: 0o700 })]]);
    expect(merged).toEqual([entryOf('d', 'dir', { mode: 0o700 }), file('d/x')]);
  });

  it('keeps an inode at its other paths when the first is replaced above', () => {
    const lower = [
      file('a', 'abc'),
      entryOf('b', 'hardlink', { link: 'a' }),
      entryOf('c', 'hardlink', { link: 'a' }),
    ];
    const merged = mergeTrees([lower, [file('a', 'new')]]);
    expect(merged).toEqual([
      file('a', 'new'),
      { ...file('a', 'abc'), path: 'b' },
      entryOf('c', 'hardlink', { link: 'b' }),
    ]);
  });
});
