import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile, SourceRange } from '../../errors/source.ts';
import { expandText, LexError } from './shell-lex.ts';

/** A here-document: `<<NAME`, its lines, and how it was asked for. */
export interface Heredoc {
  /** The delimiter without quotes; the file name in COPY and ADD. */
  readonly name: string;
  /** The lines as they stand in the file, line ends included, before `<<-` cuts their tabs. */
  readonly content: string;
  /** No part of the delimiter was quoted: variables in the content are expanded by COPY and ADD. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are cut from each line. */
  readonly chomp: boolean;
}

/** One instruction as text: continued lines joined, comments between them dropped. */
export interface LogicalLine {
  readonly text: string;
  /** From 1; inclusive; the here-documents' terminators count. */
  readonly startLine: number;
  readonly endLine: number;
  readonly heredocs: readonly Heredoc[];
  /** The physical lines that carry the instruction itself. */
  readonly parts: readonly LinePart[];
  /** Numbers of the blank lines between its parts. */
  readonly blankLines: readonly number[];
  /** The comment lines since the instruction before, or the last empty one, without `#` and the blanks around. */
  readonly comment: readonly string[];
}

/** Where a piece of an instruction stands: line from 1, columns from 0, the escape at the end left out. */
export interface LinePart {
  readonly line: number;
  readonly start: number;
  readonly end: number;
}

/** A physical line of the language may hold this many bytes, as other builders' scanners allow. */
const MAX_LINE_BYTES = 65_535;

/** What a here-document looks like: descriptor, `<<`, dash or blanks, delimiter. */
const HEREDOC_WORD = /^(\d*)<<(?:(-)|\s+)?([^<]*)$/;

/**
 * Splits the text into physical lines with their line ends.
 * @throws DOCKERFILE_LINE_TOO_LONG
 */
export function splitLines(file: SourceFile): string[] {
  const lines = file.text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  for (const [index, line] of lines.entries()) {
    if (line.length * 3 <= MAX_LINE_BYTES) continue;
    const bytes = new TextEncoder().encode(trimLineEnd(line)).length;
    if (bytes <= MAX_LINE_BYTES) continue;
    throw new OcibuildError(
      'DOCKERFILE_LINE_TOO_LONG',
      `Cannot read line ${index + 1} of "${file.name}": it has ${bytes.toLocaleString('en-US')} B, the limit is ${MAX_LINE_BYTES.toLocaleString('en-US')} B`,
      {
        hint: 'break the line with the escape character at its end',
        source: { file, ranges: [lineRange(index + 1, 1, 1)] },
      },
    );
  }
  return lines;
}

export function lineRange(line: number, start: number, end: number): SourceRange {
  return { start: { line, column: start }, end: { line, column: end } };
}

/**
 * Joins physical lines into instructions. Faults of single instructions go to `report`, so that all are found.
 */
export function joinLines(
  lines: readonly string[],
  escapeChar: string,
  report: (line: LogicalLine, code: 'DOCKERFILE_SYNTAX', message: string, hint?: string) => void,
): LogicalLine[] {
  const continued = continuationPattern(escapeChar);
  const joined: LogicalLine[] = [];
  let at = 0;
  let comment: string[] = [];
  while (at < lines.length) {
    const startLine = at + 1;
    // A byte order mark counts as white space here, so trimming drops it too.
    const physical = trimLineEnd(lines[at++] ?? '');
    const first = physical.trimStart();
    if (first.startsWith('#')) {
      const words = first.slice(1).trim();
      // A `#` alone parts what stands above it from the instruction.
      if (words === '') comment = [];
      else comment.push(words);
      continue;
    }
    if (first === '') continue;
    const above = comment;
    comment = [];
    const state = { text: '' };
    const blankLines: number[] = [];
    const parts: LinePart[] = [];
    const indent = physical.length - first.length;
    let open = addPart(state, parts, { line: startLine, text: first, indent, continued });
    if (open && state.text === '') continue;
    while (open && at < lines.length) {
      const next = trimLineEnd(lines[at++] ?? '');
      const content = next.trimStart();
      if (content === '') blankLines.push(at);
      else if (!content.startsWith('#'))
        open = addPart(state, parts, { line: at, text: next, indent: 0, continued });
    }
    // Comments and blank lines after the last part were only looked at because it ended with the escape.
    let endLine = open ? Math.max(parts.at(-1)?.line ?? startLine, startLine) : at;
    const inside = blankLines.filter((number) => number < endLine);
    const line: LogicalLine = {
      ...{ text: state.text, startLine, endLine, parts },
      ...{ heredocs: [], blankLines: inside, comment: above },
    };
    const heredocs: Heredoc[] = [];
    try {
      for (const wanted of heredocsOf(state.text)) {
        const body = readBody(lines, at, wanted);
        at = body.next;
        if (!body.closed) {
          report(
            { ...line, endLine: Math.max(lines.length, startLine) },
            'DOCKERFILE_SYNTAX',
            `Cannot read the here-document "${wanted.name}": the file ends before a line with "${wanted.name}" alone`,
            body.nearEnd === undefined
              ? `add a line "${wanted.name}" after its text`
              : `remove the blanks around "${wanted.name}" in line ${body.nearEnd}`,
          );
        }
        heredocs.push({ ...wanted, content: body.content });
      }
    } catch (error) {
      if (!(error instanceof LexError)) throw error;
      report(
        line,
        'DOCKERFILE_SYNTAX',
        `Cannot read the here-documents of this instruction: ${error.message}`,
      );
    }
    if (heredocs.length > 0) endLine = Math.max(at, endLine);
    joined.push({ ...line, endLine, heredocs });
  }
  return joined;
}

/** Cuts the leading tabs of each line, as `<<-` asks for. */
export function chompTabs(content: string): string {
  return content.replace(/^\t+/gm, '');
}

/** The delimiter if the whole text is a here-document, as in a RUN that is nothing else. A word whose quotes do not
 * match is none: where it could have been one, its line is reported as a whole. */
export function parseHeredocWord(word: string): Omit<Heredoc, 'content'> | undefined {
  try {
    return readHeredocWord(word);
  } catch (error) {
    if (!(error instanceof LexError)) throw error;
    return undefined;
  }
}

function readHeredocWord(word: string): Omit<Heredoc, 'content'> | undefined {
  const match = HEREDOC_WORD.exec(word);
  const rest = match?.[3];
  if (match === null || rest === undefined || rest === '') return undefined;
  const plain = expandText(rest, () => undefined, { escapeChar: '\\', keepUnset: true });
  // An escaped character is no quoted one here.
  const raw = expandText(rest, () => undefined, { escapeChar: '\\', keepUnset: true, rawQuotes: true });
  const [name] = plain.words;
  if (plain.words.length !== 1 || name === undefined) return undefined;
  return { name, expand: raw.words[0] === name, chomp: match[2] === '-' };
}

function addPart(
  state: { text: string },
  parts: LinePart[],
  part: { line: number; text: string; indent: number; continued: RegExp },
): boolean {
  const match = part.continued.exec(part.text);
  const kept = match === null ? part.text : part.text.slice(0, match.index);
  state.text += kept;
  parts.push({ line: part.line, start: part.indent, end: part.indent + kept.length });
  return match !== null;
}

/** An escape before blanks at the line's end continues it, unless another escape stands before it. */
function continuationPattern(escapeChar: string): RegExp {
  return escapeChar === '`' ? /(?<!`)`[ \t]*$/ : /(?<!\\)\\[ \t]*$/;
}

export function trimLineEnd(line: string): string {
  // The look behind keeps a long run inside the line from being tried from each of its places.
  return line.replace(/(?<![\r\n])[\r\n]+$/, '');
}

function heredocsOf(text: string): Omit<Heredoc, 'content'>[] {
  if (!text.includes('<<')) return [];
  let rest = text;
  for (let match = /^(\S+)\s+/.exec(rest); match !== null; match = /^(\S+)\s+/.exec(rest)) {
    rest = rest.slice(match[0].length);
    const keyword = match[1]?.toUpperCase();
    if (keyword === 'ONBUILD') continue;
    if (keyword !== 'RUN' && keyword !== 'COPY' && keyword !== 'ADD') return [];
    break;
  }
  const body = rest.replace(/^(--\S+\s+)*/, '');
  if (body.startsWith('[') && isJson(body)) return [];
  const { words } = expandText(text, () => undefined, {
    escapeChar: '\\',
    rawQuotes: true,
    rawEscapes: true,
    keepUnset: true,
  });
  return words.flatMap((word, index) => {
    // Without a dash the delimiter may stand apart, as in a shell.
    const text = /^\d*<<$/.test(word) ? `${word} ${words[index + 1] ?? ''}` : word;
    return readHeredocWord(text) ?? [];
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function readBody(
  lines: readonly string[],
  start: number,
  wanted: Omit<Heredoc, 'content'>,
): { content: string; next: number; closed: boolean; nearEnd?: number } {
  let content = '';
  let nearEnd: number | undefined;
  for (let at = start; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const bare = trimLineEnd(line);
    if ((wanted.chomp ? bare.replace(/^\t+/, '') : bare) === wanted.name) {
      return { content, next: at + 1, closed: true };
    }
    if (nearEnd === undefined && bare.trim() === wanted.name) nearEnd = at + 1;
    content += line;
  }
  return { content, next: lines.length, closed: false, ...(nearEnd === undefined ? {} : { nearEnd }) };
}
