import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIgnoreMatcher } from '../../src/util/ignore-matcher.ts';
import { runs } from '../support/runs.ts';

const element = fc.constantFrom('a', 'b', 'ab', '*', 'a*', '?', '**');
const pattern = fc
  .tuple(fc.boolean(), fc.array(element, { minLength: 1, maxLength: 3 }))
  .map(([negated, parts]) => `${negated ? '!' : ''}${parts.join('/')}`);
const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'ba'), { minLength: 1, maxLength: 4 });

/** One path element against one pattern element. */
function elementMatches(name: string, glob: string): boolean {
  if (glob === '') return name === '';
  if (glob.startsWith('*')) {
    return elementMatches(name, glob.slice(1)) || (name !== '' && elementMatches(name.slice(1), glob));
  }
  return (
    name !== '' && (glob[0] === '?' || glob[0] === name[0]) && elementMatches(name.slice(1), glob.slice(1))
  );
}

function pathMatches(names: readonly string[], globs: readonly string[]): boolean {
  const [glob, ...rest] = globs;
  if (glob === undefined) return names.length === 0;
  if (glob !== '**') {
    const [name, ...others] = names;
    return name !== undefined && elementMatches(name, glob) && pathMatches(others, rest);
  }
  // At the end `**` stands for at least one element, elsewhere also for none.
  if (rest.length === 0) return names.length > 0;
  return names.some((_, at) => pathMatches(names.slice(at), rest)) || pathMatches([], rest);
}

/** Which patterns apply to a path: asked in order, only where they change something, and kept below. */
function applying(patterns: readonly string[], names: readonly string[]): boolean[] {
  if (names.length === 0) return patterns.map(() => false);
  const above = applying(patterns, names.slice(0, -1));
  let hidden = false;
  return patterns.map((each, index) => {
    const negated = each.startsWith('!');
    const globs = (negated ? each.slice(1) : each).split('/');
    const applies = above[index] === true || (negated === hidden && pathMatches(names, globs));
    if (applies) hidden = !negated;
    return applies;
  });
}

function naive(patterns: readonly string[], names: readonly string[]): boolean {
  const last = applying(patterns, names).lastIndexOf(true);
  return last >= 0 && patterns[last]?.startsWith('!') === false;
}

describe('createIgnoreMatcher() on generated patterns', () => {
  it('decides as a naive matcher when paths are asked in any order', () => {
    fc.assert(
      fc.property(
        fc.array(pattern, { maxLength: 5 }),
        fc.array(path, { maxLength: 6 }),
        (patterns, paths) => {
          const matcher = createIgnoreMatcher(patterns);
          for (const [index, names] of paths.entries()) {
            expect(matcher.excluded(names.join('/'), index % 2 === 0)).toBe(naive(patterns, names));
          }
        },
      ),
      runs(500),
    );
  });

  it('never prunes a directory when something below it is visible', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, path, (patterns, dir, below) => {
        const visible = !naive(patterns, [...dir, ...below]);
        if (visible) expect(createIgnoreMatcher(patterns).mayContainIncluded(dir.join('/'))).toBe(true);
      }),
      runs(500),
    );
  });
});
