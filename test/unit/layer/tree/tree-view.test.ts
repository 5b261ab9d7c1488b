import { describe, expect, it } from 'vitest';
import { createTreeView, resolvePath } from '../../../../src/layer/tree/tree-view.ts';
import type { EntryType, TreeEntry } from '../../../../src/layer/types.ts';

const entry = (path: string, type: EntryType = 'file', link?: string): TreeEntry => ({
  path,
  type,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSec: 0,
  ...(link === undefined ? {} : { link }),
});

describe('createTreeView()', () => {
  it('shows the upper of two entries and says which layer it is from', () => {
    const view = createTreeView([[entry('a'), entry('b')], [{ ...entry('a'), uid: 3 }]]);
    expect(view.get('a')?.uid).toBe(3);
    expect(view.layerOf('a')).toBe(1);
    expect(view.layerOf('b')).toBe(0);
  });

  it('hides what a whiteout removes, and everything below it', () => {
    const view = createTreeView([[entry('d', 'dir'), entry('d/a'), entry('e')], [entry('d', 'whiteout')]]);
    expect(view.get('d')).toBeUndefined();
    expect(view.get('d/a')).toBeUndefined();
    expect(view.children('')).toEqual(['e']);
  });

  it('shows of an opaque directory only what its own and higher layers hold', () => {
    const base = [entry('d', 'dir'), entry('d/old')];
    const view = createTreeView([base, [entry('d', 'dir'), entry('d', 'opaque'), entry('d/new')]]);
    expect(view.children('d')).toEqual(['new']);
    expect(view.get('d/old')).toBeUndefined();
  });

  it('shows nothing below a directory that a file replaced', () => {
    const view = createTreeView([[entry('d', 'dir'), entry('d/a')], [entry('d')]]);
    expect(view.get('d')?.type).toBe('file');
    expect(view.get('d/a')).toBeUndefined();
    expect(view.children('d')).toEqual([]);
  });

  it('brings a removed directory back without its old content', () => {
    const view = createTreeView([
      [entry('d', 'dir'), entry('d/old')],
      [entry('d', 'whiteout')],
      [entry('d', 'dir'), entry('d/new')],
    ]);
    expect(view.children('d')).toEqual(['new']);
    expect(view.get('d/old')).toBeUndefined();
  });

  it('gives a hardlink as the file it links to', () => {
    const view = createTreeView([[{ ...entry('a'), size: 9 }, entry('b', 'hardlink', 'a')]]);
    expect(view.get('b')).toMatchObject({ path: 'b', type: 'file', size: 9 });
    expect(view.inodePath('b')).toBe('a');
  });
});

describe('resolvePath()', () => {
  const view = createTreeView([
    [
      entry('d', 'dir'),
      entry('d/f'),
      entry('abs', 'symlink', '/d'),
      entry('up', 'symlink', '../../../d'),
      entry('loop', 'symlink', 'loop'),
      entry('gone', 'symlink', 'nowhere/x'),
    ],
  ]);

  it.each([
    ['abs/f', 'd/f'],
    ['up/f', 'd/f'],
    ['../../d/./f', 'd/f'],
    ['gone/y', 'nowhere/x/y'],
    ['d/missing/../f', 'd/f'],
  ])('follows %s to %s inside the root', (path, expected) => {
    expect(resolvePath(view, path, { followLast: true })?.path).toBe(expected);
  });

  it('leaves a final symlink alone when asked to', () => {
    expect(resolvePath(view, 'abs', { followLast: false })).toMatchObject({
      path: 'abs',
      entry: { type: 'symlink' },
    });
  });

  it('gives up on a loop', () => {
    expect(resolvePath(view, 'loop', { followLast: true })).toBeUndefined();
  });
});

describe('createTreeView() with files whose directories are not listed', () => {
  it('shows the directories that they imply, once', () => {
    const view = createTreeView([[entry('a/b/f'), entry('a/b', 'dir'), entry('a/c/g')]]);
    expect(view.children('')).toEqual(['a']);
    expect(view.children('a')).toEqual(['b', 'c']);
    expect(view.get('a')).toMatchObject({ type: 'dir', mode: 0o755 });
  });

  it('takes the attributes of a lower layer for them', () => {
    const view = createTreeView([[{ ...entry('a', 'dir'), mode: 0o700 }], [entry('a/f')]]);
    expect(view.get('a')?.mode).toBe(0o700);
  });

  it('shows a directory when a lower layer has a symlink there', () => {
    const base = [entry('etc', 'dir'), entry('etc/f'), entry('lnk', 'symlink', 'etc')];
    const view = createTreeView([base, [entry('lnk/g')]]);
    expect(view.get('lnk')).toMatchObject({ type: 'dir', mode: 0o755 });
    expect(view.children('lnk')).toEqual(['g']);
    expect(resolvePath(view, 'lnk/f', { followLast: true })).toEqual({ path: 'lnk/f', entry: undefined });
  });
});
