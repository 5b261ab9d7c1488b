import { describe, expect, it } from 'vitest';
import { expandTemplate, goRegExp } from '../../../src/util/go-regexp.ts';

describe('goRegExp()', () => {
  it.each<[string, string, boolean]>([
    ['(?i)ALPINE', 'alpine', true],
    ['\\Aalpine\\z', 'alpine:3', false],
    ['^[[:alpha:]]+$', 'alpine', true],
    ['^[[:alpha:]]+$', 'a1', false],
    ['my\\-image\\@sha', 'my-image@sha', true],
    ['[a\\-z]', 'b', false],
    ['a\\.b', 'axb', false],
    ['\\d+\\/x', '12/x', true],
  ])('reads %s', (pattern, text, fits) => {
    expect(goRegExp(pattern).test(text)).toBe(fits);
  });

  it('takes named groups', () => {
    expect(goRegExp('(?P<tag>\\w+)$').exec('a:v1')?.groups?.tag).toBe('v1');
  });

  it.each(['a(', '[[:nothing:]]', '\\Qa\\E', '\\pL', 'a(?i)b'])('refuses %s', (pattern) => {
    expect(() => goRegExp(pattern)).toThrow(SyntaxError);
  });
});

describe('expandTemplate()', () => {
  it.each<[string, string]>([
    ['x/${1}-slim', 'x/a-slim'],
    ['$1$2', 'ab'],
    ['$name', 'b'],
    ['${9}|$1x|$$1|$', '||$1|$'],
  ])('expands %s', (template, expected) => {
    const match = /(a)(?<name>b)/.exec('ab') as RegExpExecArray;
    expect(expandTemplate(template, match)).toBe(expected);
  });
});
