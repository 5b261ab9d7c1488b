import { describe, expect, it } from 'vitest';
import { BadPatternError, compileGoMatch, hasWildcard } from '../../../src/util/go-match.ts';

const CASES: readonly [pattern: string, name: string, matches: boolean][] = [
  ['abc', 'abc', true],
  ['*', 'abc', true],
  ['*', 'a/b', false],
  ['*c', 'abc', true],
  ['a*', 'a', true],
  ['a*/b', 'abc/b', true],
  ['a*/b', 'a/c/b', false],
  ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
  ['ab[c]', 'abc', true],
  ['ab[b-d]', 'abc', true],
  ['ab[^c]', 'abc', false],
  ['ab[^e-g]', 'abc', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'ab', false],
  ['a?b', 'a☺b', true],
  ['a[^a]b', 'a☺b', true],
  ['a?b', 'a/b', false],
  ['[a-ζ]*', 'α', true],
  ['[\\]a]', ']', true],
  ['[\\-x]', '-', true],
  ['[x\\-]', 'z', false],
  ['[[]x', '[x', true],
  ['**', 'a/b', false],
  ['a.c', 'abc', false],
  ['[z-a]', 'b', false],
  ['(a|b)+', '(a|b)+', true],
  ['*ab*c', 'aabc', true],
  ['*a*b', 'acab', true],
  ['*ab*ab', 'ab', false],
  ['*a?*c/*d', 'aabbc/d', true],
  ['*a/*b*', 'ba/ab', true],
  ['*[^a]*a*', 'aa☺a', true],
  // Every place for each letter would be a thousand million tries.
  ['*a*a*a*a*a*a*b', 'a'.repeat(100), false],
];

describe('compileGoMatch()', () => {
  it.each(CASES)('gives what filepath.Match gives when pattern %s meets %s', (pattern, name, matches) => {
    expect(compileGoMatch(pattern)(name)).toBe(matches);
  });

  it.each(['[', 'a[', '[]a]', '[-]', '[x-]', '[-x]', 'a\\', '[^', '[a-', '[^bc'])(
    'throws when the pattern is %s',
    (pattern) => {
      expect(() => compileGoMatch(pattern)).toThrow(BadPatternError);
    },
  );
});

describe('hasWildcard()', () => {
  it('sees wildcards when they are not escaped', () => {
    expect(['a*', 'a?', '[a]', 'a\\*b*'].map(hasWildcard)).toEqual([true, true, true, true]);
    expect(['a', 'a\\*', '\\[a]', ''].map(hasWildcard)).toEqual([false, false, false, false]);
  });
});
