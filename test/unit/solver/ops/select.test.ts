import { describe, expect, it } from 'vitest';
import { createTreeView } from '../../../../src/layer/tree/tree-view.ts';
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
  it.each([
    ['sub/a.tx', /"\/sub\/a.txt"/],
    ['sbu/deep/z.txt', /"\/sub\/deep\/z.txt"/],
    ['Sub/a.txt', /"\/sub\/a.txt"/],
    ['sbu/nothing', /check the path/],
    ['nothing/like/it', /check the path/],
  ])('names the path that may have been meant when it is %s', (path, hint) => {
    expect(() => select(path)).toThrow(expect.objectContaining({ hint: expect.stringMatching(hint) }));
  });

  it.each<[string, string[]]>([
    ['*.txt', ['a.txt<a.txt', 'b.txt<b.txt']],
    ['?.txt', ['a.txt<a.txt', 'b.txt<b.txt']],
    ['[a-b].txt', ['a.txt<a.txt', 'b.txt<b.txt']],
    ['[^a].txt', ['b.txt<b.txt']],
    ['\\[x\\]', ['[x]<[x]']],
    ['*/a.txt', ['a.txt<other/a.txt', 'a.txt<sub/a.txt']],
    ['tod/*.txt', ['a.txt<sub/a.txt']],
    ['to*/deep', []],
    ['sub/*', ['a.txt<sub/a.txt', 'deep<sub/deep z.txt']],
    ['s*/d*/z.txt', ['z.txt<sub/deep/z.txt']],
    ['*.none', []],
    ['sub/none*/z', []],
    ['dead/*', []],
    ['a.txt/*', []],
  ])('matches "%s" by the rules of Go', (pattern, expected) => {
    expect(select(pattern)).toEqual(expected);
  });

  it.each(['none/*', 'sub/none/*/z', 'loop/*'])(
    'throws COPY_SOURCE_MISSING when the directory of "%s" is missing',
    (path) => {
      expect(() => select(path)).toThrow(expect.objectContaining({ code: 'COPY_SOURCE_MISSING' }));
    },
  );

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

describe('selectSources() with parents', () => {
  const view = createTreeView([
    treeOf('a/', 'a/b/', 'a/b/c/', 'a/b/c/f', 'a/b/g', 'a/b2/', 'a/b2/c/', 'a/b2/c/h', 'a/e/', 'l -> a'),
  ]);
  const taken = (path: string, pivot = 0, exclude?: string[]): string[] =>
    selectSources(view, [{ path, wildcard: /[*?[]/.test(path), pivot }], {
      parents: true,
      ...(exclude === undefined ? {} : { exclude }),
    }).flatMap(({ root, below }) => [
      `<${root.path}>`,
      ...below.map(({ relative, onTheWay }) => (onTheWay ? `(${relative})` : relative)),
    ]);

  it.each<[string, number, string[]]>([
    ['a/b/c/f', 0, ['<>', '(a)', '(a/b)', '(a/b/c)', 'a/b/c/f']],
    ['a/b/c', 2, ['<a/b>', 'c', 'c/f']],
    ['a/*/c', 1, ['<a>', '(b)', 'b/c', 'b/c/f', '(b2)', 'b2/c', 'b2/c/h']],
    ['a/b*/c/h', 2, ['<a/b>', '<a/b2>', '(c)', 'c/h']],
    ['a/**/f', 0, ['<>', '(a)', '(a/b)', '(a/b/c)', 'a/b/c/f']],
    ['a/b/**', 1, ['<a>', '(b)', 'b/c', 'b/c/f', 'b/g']],
    ['a/none*', 0, ['<>']],
    ['l/b/g', 1, ['<a>', '(b)', 'b/g']],
  ])('takes of "%s" with %i components above the pivot what it leads to', (path, pivot, expected) => {
    expect(taken(path, pivot)).toEqual(expected);
  });

  it('leaves out what is excluded, relative to the pivot', () => {
    expect(taken('a/b', 1, ['b/c'])).toEqual(['<a>', 'b', 'b/g']);
  });

  it.each(['a/none', 'none/f', 'l/b/g'])('throws COPY_SOURCE_MISSING when "%s" leads to nothing', (path) => {
    expect(() => taken(path)).toThrow(expect.objectContaining({ code: 'COPY_SOURCE_MISSING' }));
  });
});

describe('selectSources() with patterns that exclude', () => {
  const view = createTreeView([treeOf('d/', 'd/a', 'd/s/', 'd/s/k', 'd/s/x', 'd/t/', 'd/t/y')]);
  const taken = (...exclude: string[]): string[] =>
    selectSources(view, [{ path: 'd', wildcard: false }], { exclude }).flatMap(({ below }) =>
      below.map(({ relative }) => relative),
    );

  it('makes a directory when something in it is included again', () => {
    expect(taken('s', '!s/k')).toEqual(['a', 's', 's/k', 't', 't/y']);
    expect(taken('**', '!s/k')).toEqual(['s', 's/k']);
  });

  it('keeps a source that is itself a file', () => {
    const [one] = selectSources(view, [{ path: 'd/a', wildcard: false }], { exclude: ['a', '*'] });
    expect(one?.root.path).toBe('d/a');
  });
});

describe('selectSources() with if-exists', () => {
  it('gives nothing for a path that is missing and everything else for the others', () => {
    const view = createTreeView([treeOf('a')]);
    const sources = [
      { path: 'none', wildcard: false },
      { path: 'a', wildcard: false },
    ];
    expect(selectSources(view, sources, { ifExists: true }).map(({ name }) => name)).toEqual(['a']);
    expect(() => selectSources(view, sources)).toThrow();
  });
});
