import type { Position } from '../../errors/source.ts';
import type { SourceEdit } from '../types.ts';

/**
 * Makes changes to a text. A group is made as a whole or not at all: not where a group before it changes the same
 * place in another way. Equal edits of several groups are one.
 */
export function applyEdits(
  text: string,
  groups: readonly (readonly SourceEdit[])[],
): { readonly text: string; readonly applied: number } {
  const starts = lineStarts(text);
  const offset = ({ line, column }: Position): number =>
    Math.min((starts[line - 1] ?? text.length) + column - 1, text.length);
  const taken = new Map<string, Span>();
  let applied = 0;
  for (const group of groups) {
    const spans = group.map(
      ({ range, text: to }): Span => ({ start: offset(range.start), end: offset(range.end), text: to }),
    );
    const isFree = (span: Span) =>
      taken.has(keyOf(span)) || ![...taken.values()].some((other) => overlap(span, other));
    if (!spans.every(isFree)) continue;
    for (const span of spans) taken.set(keyOf(span), span);
    applied++;
  }
  let result = text;
  for (const span of [...taken.values()].sort((a, b) => b.start - a.start)) {
    result = result.slice(0, span.start) + span.text + result.slice(span.end);
  }
  return { text: result, applied };
}

interface Span {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

function keyOf({ start, end, text }: Span): string {
  return `${start}-${end} ${text}`;
}

function overlap(a: Span, b: Span): boolean {
  return a.start < b.end && b.start < a.end;
}

/** Offsets of the lines. A byte order mark counts as a column, as it does in ranges. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}
