import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile, SourceRange } from '../../errors/source.ts';
import { type Directive, readDirectives } from './directives.ts';
import {
  type Heredoc,
  joinLines,
  type LinePart,
  type LogicalLine,
  lineRange,
  splitLines,
  trimLineEnd,
} from './lines.ts';
import { isBlank } from './shell-lex.ts';

/** An instruction as it is written: keyword, flags, and the text behind them. */
export interface RawInstruction {
  /** Upper case. */
  readonly keyword: string;
  /** As written. */
  readonly word: string;
  readonly flags: readonly RawFlag[];
  /** What follows keyword and flags, trimmed. */
  readonly rest: string;
  /** The whole text, trimmed; continued lines are joined. */
  readonly text: string;
  readonly heredocs: readonly Heredoc[];
  readonly file: SourceFile;
  /** All its lines, here-documents included. */
  readonly range: SourceRange;
  readonly keywordRange: SourceRange;
  /** The comment lines between the instruction before and this one, without `#` and the blanks around the text. */
  readonly comment?: readonly string[];
  /** Blank lines between its parts. */
  readonly blankLines?: readonly SourceRange[];
  /** Where the pieces of `text` stand that lines of the file give; absent where it has no place of its own. */
  readonly parts?: readonly LinePart[];
}

export interface RawFlag {
  readonly name: string;
  /** undefined: written without `=`. */
  readonly value: string | undefined;
  readonly range: SourceRange;
}

export interface ParsedFile {
  readonly directives: readonly Directive[];
  /** `\` or a backtick. */
  readonly escapeChar: string;
  readonly instructions: readonly RawInstruction[];
  /** Faults found on the way, in order of the file. */
  readonly errors: readonly OcibuildError[];
}

/**
 * Splits a Dockerfile into instructions with exact texts and ranges.
 * @throws DOCKERFILE_EMPTY, DOCKERFILE_LINE_TOO_LONG, DOCKERFILE_DIRECTIVE_INVALID
 */
export async function parseFile(file: SourceFile): Promise<ParsedFile> {
  const lines = splitLines(file);
  const directives = readDirectives(file, lines);
  const escapeChar = directives.find(({ name }) => name === 'escape')?.value ?? '\\';
  const errors: OcibuildError[] = [];
  const logical = joinLines(lines, escapeChar, (line, code, message, hint) => {
    const source = { file, ranges: [rangeOf(line, lines)] };
    errors.push(new OcibuildError(code, message, { source, ...(hint === undefined ? {} : { hint }) }));
  });
  if (logical.length === 0) {
    const why = /\S/.test(file.text) ? 'it holds comments only' : 'it is empty';
    throw new OcibuildError('DOCKERFILE_EMPTY', `Cannot build "${file.name}": ${why}`, {
      hint: 'start it with a FROM instruction, for example "FROM alpine"',
      source: { file, ranges: [lineRange(Math.max(lines.length, 1), 1, 1)] },
    });
  }
  const places = await findPlaces(maskText(lines, logical));
  const instructions = logical.map((line) => toInstruction(line, { file, lines, places }));
  return { directives, escapeChar, instructions, errors };
}

/** An instruction that stands in a text of its own, such as an ONBUILD trigger: its places are `range`. */
export function parseTrigger(
  text: string,
  at: { file: SourceFile; range: SourceRange; escapeChar: string },
): RawInstruction[] {
  const lines = splitLines({ name: at.file.name, text });
  const errors: OcibuildError[] = [];
  const logical = joinLines(lines, at.escapeChar, (_line, code, message) => {
    errors.push(new OcibuildError(code, message, { source: { file: at.file, ranges: [at.range] } }));
  });
  const [error] = errors;
  if (error !== undefined) throw error;
  return logical.map((line): RawInstruction => {
    const { flags, ...parsed } = splitInstruction(line.text);
    return {
      ...parsed,
      flags: flags.map((flag) => ({ ...readFlag(flag), range: at.range })),
      heredocs: line.heredocs,
      file: at.file,
      range: at.range,
      keywordRange: at.range,
    };
  });
}

interface Place {
  readonly keyword: SourceRange;
  readonly flags: readonly SourceRange[];
}

/**
 * The text with everything blank that dockerfile-ast reads differently from the language (directives, comments and
 * blank lines inside instructions, here-documents, carriage returns, doubled escapes), each character in its column.
 */
function maskText(lines: readonly string[], logical: readonly LogicalLine[]): string {
  const masked = lines.map(() => '');
  for (const { parts } of logical) {
    for (const [index, part] of parts.entries()) {
      const text = (lines[part.line - 1] ?? '')
        .slice(part.start, part.end)
        .replace(/\\(?=\s*$)/, ' ')
        .replaceAll('<<', '__')
        .replaceAll('\r', ' ')
        // A word that starts with `#` would be taken for a comment behind a continuation.
        .replace(/^(\s*)#/, '$1_');
      masked[part.line - 1] = ' '.repeat(part.start) + text + (index < parts.length - 1 ? '\\' : '');
    }
  }
  return masked.join('\n');
}

/** Loaded on demand: 12 ms that a build answered from its last record does not have to spend. */
async function findPlaces(masked: string): Promise<ReadonlyMap<number, Place>> {
  const { DockerfileParser } = await import('dockerfile-ast');
  const places = new Map<number, Place>();
  try {
    for (const instruction of DockerfileParser.parse(masked).getInstructions()) {
      const keyword = fromAst(instruction.getInstructionRange());
      const flags = 'getFlags' in instruction ? (instruction.getFlags as () => AstFlag[])() : [];
      places.set(keyword.start.line, { keyword, flags: flags.map((flag) => fromAst(flag.getRange())) });
    }
  } catch (error) {
    // Ranges of keywords and flags are a refinement; without them the instruction's own lines are named.
    if (!(error instanceof Error)) throw error;
  }
  return places;
}

interface AstFlag {
  getRange(): AstRange;
}
interface AstRange {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

function fromAst({ start, end }: AstRange): SourceRange {
  return {
    start: { line: start.line + 1, column: start.character + 1 },
    end: { line: end.line + 1, column: end.character + 1 },
  };
}

function rangeOf(line: LogicalLine, lines: readonly string[]): SourceRange {
  const last = trimLineEnd(lines[line.endLine - 1] ?? '');
  return {
    start: { line: line.startLine, column: (line.parts[0]?.start ?? 0) + 1 },
    end: { line: line.endLine, column: last.length + 1 },
  };
}

function toInstruction(
  line: LogicalLine,
  about: { file: SourceFile; lines: readonly string[]; places: ReadonlyMap<number, Place> },
): RawInstruction {
  const range = rangeOf(line, about.lines);
  const place = about.places.get(line.startLine);
  const { flags, ...parsed } = splitInstruction(line.text);
  const { start } = range;
  const ownKeyword = { start, end: { line: start.line, column: start.column + parsed.word.length } };
  return {
    ...parsed,
    flags: flags.map((text, index) => ({ ...readFlag(text), range: place?.flags[index] ?? range })),
    heredocs: line.heredocs,
    file: about.file,
    range,
    keywordRange: place?.keyword ?? ownKeyword,
    parts: line.parts,
    ...(line.comment.length === 0 ? {} : { comment: line.comment }),
    ...(line.blankLines.length === 0 ? {} : { blankLines: line.blankLines.map(wholeLine) }),
  };

  function wholeLine(number: number): SourceRange {
    return lineRange(number, 1, trimLineEnd(about.lines[number - 1] ?? '').length + 1);
  }
}

function splitInstruction(line: string) {
  const text = line.trim();
  // A no-break space separates words, but not the keyword.
  const [word = ''] = text.split(/[\t\v\f\r ]/, 1);
  const { flags, rest } = takeFlags(text.slice(word.length));
  return { keyword: word.toUpperCase(), word, text, flags, rest: rest.trim() };
}

function readFlag(text: string): { name: string; value: string | undefined } {
  const equals = text.indexOf('=');
  return equals < 0
    ? { name: text.slice(2), value: undefined }
    : { name: text.slice(2, equals), value: text.slice(equals + 1) };
}

/** Words in front that start with `--`, quotes taken away; `--` alone ends them. */
function takeFlags(text: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isBlank(text.charAt(at))) at++;
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) };
    const word = readFlagWord(text, at);
    at = word.next;
    if (word.text === '--') return { flags, rest: text.slice(at) };
    flags.push(word.text);
  }
}

/** `\` escapes in flags whatever the escape directive says. */
function readFlagWord(text: string, start: number): { text: string; next: number } {
  let word = '';
  let quote = '';
  let at = start;
  for (; at < text.length; at++) {
    const ch = text.charAt(at);
    if (quote === '' && isBlank(ch)) break;
    if (ch === quote) quote = '';
    else if (quote === '' && (ch === '"' || ch === "'")) quote = ch;
    else if (ch === '\\') word += text.charAt(++at);
    else word += ch;
  }
  return { text: word, next: at };
}
