import { describe, expect, it } from 'vitest';
import { OcibuildError } from '../../../../src/errors/error.ts';
import { parseIgnore } from '../../../../src/frontend/parse/dockerignore.ts';
import { createIgnoreMatcher } from '../../../../src/util/ignore-matcher.ts';

function parse(text: string): string[] {
  return parseIgnore({ name: '.dockerignore', text });
}

// patterns | path | excluded
const CASES: readonly [string, string, boolean][] = [
  ['a', 'a', true],
  ['a', 'a/b/c', true],
  ['a', 'ab', false],
  ['a/b', 'a', false],
  ['a/b', 'a/b/c', true],
  ['*.md', 'x.md', true],
  ['*.md', 'd/x.md', false],
  ['**/*.md', 'x.md', true],
  ['**/*.md', 'd/e/x.md', true],
  ['**/*.md', 'd/e/x.md5', false],
  ['**/node_modules', 'a/node_modules/x/y', true],
  ['**/node_modules', 'a/my_node_modules', false],
  ['dir/**', 'dir', false],
  ['dir/**', 'dir/a/b', true],
  ['a/**/b', 'a/b', true],
  ['a/**/b', 'a/x/y/b', true],
  ['a/**/b', 'a/xb', false],
  ['**', 'anything/at/all', true],
  ['*', 'a/b', true],
  ['?', 'ab', false],
  ['[a-c]/x', 'b/x', true],
  ['*.md !README.md', 'README.md', false],
  ['*.md !README.md', 'other.md', true],
  ['!README.md *.md', 'README.md', true],
  ['dir !dir/keep', 'dir/keep', false],
  ['dir !dir/keep', 'dir/keep/below', false],
  ['dir !dir/keep', 'dir/other', true],
  ['dir !dir/keep dir/keep/not', 'dir/keep/not/x', true],
  ['** !folder1/file1', 'folder1/file1', false],
  ['** !folder1/file1', 'folder1/file2', true],
  ['volume/ !**/oneline.txt', 'volume/a/oneline.txt', false],
  ['volume/ !**/oneline.txt', 'volume/a/two.txt', true],
  ['subdir !*/sub1*', 'subdir/sub1.txt', false],
  ['subdir !*/sub1*', 'subdir/sub2.txt', true],
  ['a** !a/b/c', 'a/b/c', false],
  ['a**', 'axy', true],
  ['a**', 'a', true],
  ['foo\\*', 'foo*', true],
  ['foo\\*', 'foobar', false],
];

describe('createIgnoreMatcher()', () => {
  it.each(CASES)(
    'decides as Docker when the patterns are %s and the path is %s',
    (patterns, path, excluded) => {
      const matcher = createIgnoreMatcher(parse(patterns.replaceAll(' ', '\n')));
      expect(matcher.excluded(path, false)).toBe(excluded);
      expect(matcher.excluded(path, true)).toBe(excluded);
    },
  );

  it.each([
    ['dir', 'dir', false],
    ['dir', 'other', true],
    ['dir !dir/a/b', 'dir', true],
    ['dir !dir/a/b', 'dir/a', true],
    ['dir !dir/a/b', 'dir/c', false],
    ['dir !other/a', 'dir', false],
    ['dir !**/keep', 'dir/deep/down', true],
    ['!dir/a dir', 'dir', false],
    ['* !*/x', 'dir', true],
    ['* !*/x', 'dir/deep', false],
    ['dir !dir', 'dir', true],
  ] as const)(
    'mayContainIncluded() prunes when nothing below %s can be visible: %s',
    (patterns, dir, may) => {
      expect(createIgnoreMatcher(parse(patterns.replaceAll(' ', '\n'))).mayContainIncluded(dir)).toBe(may);
    },
  );
});

describe('parseIgnore()', () => {
  it('cleans lines when they have comments, blanks, slashes or a byte order mark', () => {
    const text = '\uFEFF# comment\r\n\r\n  /a/b/ \r\n #no comment\r\n! /c/../d\r\n./e//f\n/\n..\n';
    expect(parse(text)).toEqual(['a/b', '#no comment', '!d', 'e/f', '/', '..']);
  });

  it.each([
    ['a\n!', 2, /nothing follows/],
    ['[', 1, /unclosed/],
    ['a\nb\n!x[', 3, /unclosed/],
  ] as const)('names the line when %j holds a bad pattern', (text, line, message) => {
    const error = catchError(() => parse(text));
    expect(error.code).toBe('DOCKERIGNORE_INVALID');
    expect(error.message).toMatch(message);
    expect(error.source?.ranges[0]?.start.line).toBe(line);
  });
});

function catchError(run: () => unknown): OcibuildError {
  try {
    run();
  } catch (error) {
    if (error instanceof OcibuildError) return error;
    throw error;
  }
  throw new RangeError('nothing was thrown');
}
