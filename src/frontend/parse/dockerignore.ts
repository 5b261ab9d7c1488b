import { posix } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile } from '../../errors/source.ts';
import { BadPatternError } from '../../util/go-match.ts';
import { createIgnoreMatcher } from '../../util/ignore-matcher.ts';

/**
 * Patterns of an ignore file: comments (`#` in the first column) and blank lines dropped, paths cleaned.
 * @throws DOCKERIGNORE_INVALID
 */
export function parseIgnore(file: SourceFile): string[] {
  const patterns: string[] = [];
  const lines = file.text.replace(/^\uFEFF/, '').split('\n');
  for (const [index, line] of lines.entries()) {
    const text = line.trim();
    if (line.startsWith('#') || text === '') continue;
    const negated = text.startsWith('!');
    const path = cleanPattern(negated ? text.slice(1).trim() : text);
    const fail = (why: string) => {
      const range = {
        start: { line: index + 1, column: 1 },
        end: { line: index + 1, column: line.trimEnd().length + 1 },
      };
      return new OcibuildError('DOCKERIGNORE_INVALID', `Cannot use pattern "${text}": ${why}`, {
        source: { file, ranges: [range] },
      });
    };
    if (path === '') throw fail('nothing follows the "!"');
    try {
      createIgnoreMatcher([path]);
    } catch (error) {
      if (error instanceof BadPatternError)
        throw fail('it has an unclosed "[", an empty range or ends with "\\"');
      throw error;
    }
    patterns.push(negated ? `!${path}` : path);
  }
  return patterns;
}

function cleanPattern(text: string): string {
  if (text === '') return '';
  const clean = posix.normalize(text).replace(/(.)\/$/, '$1');
  return clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean;
}
