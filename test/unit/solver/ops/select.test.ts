import { describe, expect, it } from 'vitest';
import { createTreeView } from '../../../../src/layer/tree-view.ts';
import { selectSources, staticPrefix } from '../../../../src/solver/ops/select.ts';
import { treeOf } from './fixture.ts';

const FILES = treeOf(
  'a.txt',
  'b.txt',
  'c.md',
  '[x]',
  'sub/',
  'sub/a.txt',
  'sub/deep/',
  'sub/deep/z.txt',
  'other/',
  'other/a.txt',
  'tod -> sub',
  'tof -> sub/a.txt',
  'abs -> /other/a.txt',
  'out -> ../../c.md',
  'loop -> loop',
  'dead -> nowhere',
);

/** `NAME<ROOT` for each source, with what lies below it. */
function select(path: string, wildcard = /[*?[\\]/.test(path)): string[] {
  return selectSources(createTreeView([FILES]), [{ path, wildcard }]).map(({ name, root, below }) =>
    [`${name}<${root.path}`, ...below.map(({ relative }) => relative)].join(' '),
  );
}

describe('selectSources()', () => {
  it.each<[string, string[]]>([
    ['*.txt', ['a.txt<a.txt', 'b.txt<b.txt']],
    ['?.txt', ['a.txt<a.txt', 'b.txt<b.txt']],
    ['[a-b].txt', ['a.txt<a.txt', 'b.txt<b.txt']],
    ['[^a].txt', ['b.txt<b.txt']],
    ['\\[x\\]', ['[x]<[x]']],
    ['*/a.txt', ['a.txt<other/a.txt', 'a.txt<sub/a.txt', 'a.txt<sub/a.txt']],
    ['sub/*', ['a.txt<sub/a.txt', 'deep<sub/deep z.txt']],
    ['s*/d*/z.txt', ['z.txt<sub/deep/z.txt']],
    ['*.none', []],
    ['none/*', []],
    ['a.txt/*', []],
  ])('matches "%s" by the rules of Go', (pattern, expected) => {
    expect(select(pattern)).toEqual(expected);
  });

  it('takes a name with wildcards in it literally when the source has none', () => {
    expect(select('[x]', false)).toEqual(['[x]<[x]']);
  });

  it.each<[string, string]>([
    ['tod', 'tod<sub a.txt deep deep/z.txt'],
    ['tof', 'tof<sub/a.txt'],
    ['abs', 'abs<other/a.txt'],
    ['out', 'out<c.md'],
    ['tod/deep', 'deep<sub/deep z.txt'],
    ['t*f', 'tof<sub/a.txt'],
    ['to*/deep', 'deep<sub/deep z.txt'],
  ])('follows symlinks of "%s" inside the root, and keeps the name', (path, expected) => {
    expect(select(path)).toEqual([expected]);
  });

  it('keeps symlinks inside a directory as they are', () => {
    const [whole] = selectSources(createTreeView([FILES]), [{ path: '', wildcard: false }]);
    expect(whole?.below.find(({ relative }) => relative === 'tod')?.entry).toMatchObject({ type: 'symlink' });
    expect(whole?.below.some(({ relative }) => relative.startsWith('tod/'))).toBe(false);
  });

  it('keeps the order of the sources, and a directory before its content', () => {
    const selected = selectSources(createTreeView([FILES]), [
      { path: 'c.md', wildcard: false },
      { path: 'a.txt', wildcard: false },
    ]);
    expect(selected.map(({ name }) => name)).toEqual(['c.md', 'a.txt']);
    expect(select('sub')).toEqual(['sub<sub a.txt deep deep/z.txt']);
  });

  it.each(['none', 'dead', 'loop', 'a.txt/b', 'sub/none'])(
    'throws COPY_SOURCE_MISSING for "%s", which is not there',
    (path) => {
      expect(() => select(path)).toThrow(expect.objectContaining({ code: 'COPY_SOURCE_MISSING' }));
    },
  );
});

describe('staticPrefix()', () => {
  it.each<[string, boolean, string]>([
    ['a/b/*.ts', true, 'a/b'],
    ['*.ts', true, ''],
    ['a/b?/c', true, 'a'],
    ['a/\\*/c', true, 'a'],
    ['a/[b]/c', false, 'a/[b]/c'],
    ['', false, ''],
  ])('of "%s" (wildcard: %s) is "%s"', (path, wildcard, expected) => {
    expect(staticPrefix({ path, wildcard })).toBe(expected);
  });
});
