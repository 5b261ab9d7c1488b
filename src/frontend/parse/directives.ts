import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile, SourceRange } from '../../errors/source.ts';
import { lineRange } from './lines.ts';

/** `# key=value` at the top of the file. */
export interface Directive {
  /** Lower case. */
  readonly name: 'syntax' | 'escape' | 'check';
  readonly value: string;
  readonly range: SourceRange;
}

/** Of a line without the blanks at its end. */
const DIRECTIVE = /^#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(\S.*)$/;
const FOREIGN_DIRECTIVE = /^\/\/[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(\S.*)$/;

/**
 * The directives of a file. Only the choice of the language may stand behind a `#!` line, as `//syntax=…`, or in a file
 * that is a JSON object.
 * @throws DOCKERFILE_DIRECTIVE_INVALID
 */
export function readDirectives(file: SourceFile, lines: readonly string[]): Directive[] {
  const found: Directive[] = [];
  const afterShebang = lines[0]?.startsWith('#!') === true;
  for (const [index, line] of lines.entries()) {
    if (index === 0 && afterShebang) continue;
    const match = DIRECTIVE.exec((index === 0 ? line.replace(/^\uFEFF/, '') : line).trimEnd());
    const name = match?.[1]?.toLowerCase();
    const value = match?.[2] ?? '';
    if (name !== 'syntax' && name !== 'escape' && name !== 'check') break;
    // Behind a `#!` line only the choice of the language counts.
    if (afterShebang && name !== 'syntax') break;
    const range = lineRange(index + 1, 1, line.trimEnd().length + 1);
    const fail = (message: string, hint: string) =>
      new OcibuildError('DOCKERFILE_DIRECTIVE_INVALID', message, { hint, source: { file, ranges: [range] } });
    if (found.some((directive) => directive.name === name)) {
      throw fail(`Cannot use directive "${name}" twice`, 'remove one of the two lines');
    }
    if (name === 'escape' && value !== '\\' && value !== '`') {
      throw fail(`Cannot use "${value}" as escape character`, 'it can be "\\" or "`"');
    }
    found.push({ name, value, range });
  }
  if (found.some(({ name }) => name === 'syntax')) return found;
  const foreign = foreignSyntax(lines, afterShebang ? 1 : 0);
  return foreign === undefined ? found : [...found, foreign];
}

/** The language of a file that is none of Dockerfile's, told in the ways of other languages. */
function foreignSyntax(lines: readonly string[], first: number): Directive | undefined {
  for (const [offset, line] of lines.slice(first).entries()) {
    const [, key, value = ''] = FOREIGN_DIRECTIVE.exec(line.trimEnd()) ?? [];
    if (key === undefined) break;
    const range = lineRange(first + offset + 1, 1, line.trimEnd().length + 1);
    if (key.toLowerCase() === 'syntax') return { name: 'syntax', value, range };
  }
  if (lines[first]?.trimStart().startsWith('{') !== true) return undefined;
  try {
    const value: unknown = JSON.parse(lines.slice(first).join(''));
    const syntax =
      typeof value === 'object' && value !== null && 'syntax' in value ? value.syntax : undefined;
    const range = lineRange(first + 1, 1, 1);
    return typeof syntax === 'string' ? { name: 'syntax', value: syntax, range } : undefined;
  } catch {
    return undefined;
  }
}
