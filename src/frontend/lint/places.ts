import type { SourceRange } from '../../errors/source.ts';
import { escapeRegExp } from '../../util/go-match.ts';
import type { RawFlag, RawInstruction } from '../parse/parser.ts';

/** A word of an instruction: its offsets in `raw.text`. */
export interface Word {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Where a piece of the joined text of an instruction stands in the file; undefined for triggers. */
export function rangeOf(raw: RawInstruction, { start, end }: Omit<Word, 'text'>): SourceRange | undefined {
  const first = positionOf(raw, start, false);
  const last = positionOf(raw, end, true);
  return first === undefined || last === undefined ? undefined : { start: first, end: last };
}

/** Words at blanks, from `offset` on. */
export function wordsOf(raw: RawInstruction, offset = 0): Word[] {
  return [...raw.text.slice(offset).matchAll(/\S+/g)].map(({ 0: text, index }) => ({
    text,
    start: offset + index,
    end: offset + index + text.length,
  }));
}

/** Where the arguments begin that follow keyword and flags. */
export function restOffset(raw: RawInstruction): number {
  return raw.text.length - raw.rest.length;
}

/** The first match of the expression at or behind `offset`; a group named `at` says which part counts. */
export function findIn(raw: RawInstruction, expression: RegExp, offset = 0): SourceRange | undefined {
  const match = new RegExp(expression.source, 'dv').exec(raw.text.slice(offset));
  const [start, end] = match?.indices?.groups?.at ?? match?.indices?.[0] ?? [];
  if (start === undefined || end === undefined) return undefined;
  return rangeOf(raw, { start: offset + start, end: offset + end });
}

/** The first use of a variable, also in the here-documents of the instruction. */
export function findVariable(raw: RawInstruction, name: string): SourceRange | undefined {
  const expression = new RegExp(`\\$\\{?${escapeRegExp(name)}(?![\\p{L}\\p{Nd}_])`, 'dv');
  const found = findIn(raw, expression);
  if (found !== undefined || raw.parts === undefined || raw.heredocs.length === 0) return found;
  const lines = raw.file.text.split('\n');
  for (let line = (raw.parts.at(-1)?.line ?? 0) + 1; line <= raw.range.end.line; line++) {
    const match = expression.exec(lines[line - 1] ?? '');
    if (match === null) continue;
    const column = match.index + 1;
    return { start: { line, column }, end: { line, column: column + match[0].length } };
  }
  return undefined;
}

/** True when the instruction, here-documents aside, stands on one line. */
export function onOneLine(raw: RawInstruction): boolean {
  return raw.parts?.length === 1;
}

/** The words of the flags, in the order of `raw.flags`. */
export function flagWord(raw: RawInstruction, flag: RawFlag): Word | undefined {
  return wordsOf(raw).find(({ text, end }) => end <= restOffset(raw) && text.startsWith(`--${flag.name}=`));
}

function positionOf(raw: RawInstruction, offset: number, isEnd: boolean): SourceRange['start'] | undefined {
  let before = 0;
  for (const { line, start, end } of raw.parts ?? []) {
    const length = end - start;
    // The end of a part belongs to it, its start belongs to the next one.
    if (isEnd ? offset <= before + length : offset < before + length) {
      return { line, column: start + offset - before + 1 };
    }
    before += length;
  }
  const last = raw.parts?.at(-1);
  return last === undefined ? undefined : { line: last.line, column: last.end + 1 };
}
