import { isOcibuildError, MultiError, type OcibuildError } from './error.ts';
import { redact } from './redact.ts';
import type { SourceRange, SourceRef } from './source.ts';

export interface RenderOptions {
  /** Values that must not appear. */
  readonly secrets?: readonly string[];
  /** Show stacks of all errors, not only of bugs. */
  readonly debug?: boolean;
}

const LINES_AROUND = 2;
/** A heredoc may be hundreds of lines: the head of a range says enough. */
const MAX_RANGE_LINES = 12;
/** A line may be 65,535 bytes long: data in a base64 text, a list of packages. */
const MAX_EXCERPT_COLUMNS = 400;
const LOG_LINES = 20;
const MAX_CAUSES = 8;

/**
 * An error as the user reads it: title with code, place, excerpt, last lines of the step, one hint, causes.
 * A MultiError gives each of its errors, an empty line between. Ends with a line feed; nothing in it but printable
 * text. Anything that is not an OcibuildError is a bug and is shown with its stack.
 */
export function renderError(error: unknown, options: RenderOptions = {}): string {
  const lines =
    error instanceof MultiError
      ? error.errors.flatMap((one, index) => [...(index === 0 ? [] : ['']), ...renderOne(one, options)])
      : isOcibuildError(error)
        ? renderOne(error, options)
        : renderBug(error, options);
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

/** The lines of a text around the ranges, numbered, the ranges' own lines marked with `>`. */
function renderExcerpt(source: SourceRef): string[] {
  const texts = source.file.text.split(/\r?\n/);
  // The piece after a final line feed is no line that a user would count.
  const total = texts.at(-1) === '' ? texts.length - 1 : texts.length;
  const ranges = source.ranges.filter((range) => range.start.line >= 1 && range.start.line <= total);
  const shown = shownLines(ranges, total);
  const width = String(shown.at(-1)?.line ?? 1).length;
  const gutter = `${' '.repeat(width + 2)}|`;
  const lines = [gutter];
  let previous: number | undefined;
  for (const { line, marked } of shown) {
    if (previous !== undefined && line > previous + 1) lines.push(`${' '.repeat(width + 1)}...`);
    const text = (texts[line - 1] ?? '').replaceAll('\t', '    ');
    lines.push(`${marked ? '>' : ' '}${String(line).padStart(width)} | ${text}`);
    previous = line;
  }
  return shown.length === 0 ? [] : [...lines, gutter];
}

function shownLines(ranges: readonly SourceRange[], total: number): { line: number; marked: boolean }[] {
  const marked = new Map<number, boolean>();
  for (const { start, end } of ranges) {
    const last = Math.min(Math.max(end.line, start.line), total);
    const cut = Math.min(last, start.line + MAX_RANGE_LINES - 1);
    const after = cut < last ? cut : Math.min(total, last + LINES_AROUND);
    for (let line = Math.max(1, start.line - LINES_AROUND); line <= after; line++) {
      if (!marked.has(line)) marked.set(line, false);
    }
    for (let line = start.line; line <= cut; line++) marked.set(line, true);
  }
  return [...marked].map(([line, mark]) => ({ line, marked: mark })).sort((a, b) => a.line - b.line);
}

/** Only after secrets were masked: half a secret would not be known as one. */
function cutLine(line: string): string {
  return line.length <= MAX_EXCERPT_COLUMNS ? line : `${line.slice(0, MAX_EXCERPT_COLUMNS)}…`;
}

function renderOne(error: OcibuildError, options: RenderOptions): string[] {
  if (error.category === 'internal') return renderBug(error, options);
  const safe = (text: string): string => redact(text, options.secrets);
  const [title = '', ...more] = safe(error.message).split('\n');
  const lines = [`error[${error.code}]: ${title}`, ...more.map((line) => `  ${line}`)];
  // Where a build was interrupted is chance, and no fault of that step.
  const isFault = error.category !== 'cancelled';
  if (isFault && error.source !== undefined) {
    lines.push(
      `  ${safe(placeOf(error.source))}`,
      ...renderExcerpt(error.source).map((line) => cutLine(safe(line))),
    );
  }
  const tail = isFault ? error.logTail.slice(-LOG_LINES) : [];
  if (tail.length > 0) {
    lines.push('  last lines of the step:', ...tail.map((line) => `   | ${safe(line)}`));
  }
  if (error.hint !== undefined) lines.push(...indented('hint: ', safe(error.hint)));
  for (const cause of causesOf(error)) lines.push(...indented('cause: ', safe(cause)));
  if (options.debug === true && error.stack !== undefined) lines.push(...stackLines(error.stack, safe));
  return lines;
}

function placeOf({ file, ranges, stage, step }: SourceRef): string {
  const start = ranges[0]?.start;
  const where = start === undefined ? file.name : `${file.name}:${start.line}:${start.column}`;
  const about = [
    ...(stage === undefined || stage === '' ? [] : [`stage ${stage}`]),
    ...(step === undefined ? [] : [`step ${step}`]),
  ];
  return about.length === 0 ? where : `${where}  (${about.join(', ')})`;
}

/** Messages below the error, outermost first, without those that a message above already tells. */
function causesOf(error: Error): string[] {
  const causes: string[] = [];
  let told = error.message;
  let current: unknown = error.cause;
  for (let depth = 0; current !== undefined && current !== null && depth < MAX_CAUSES; depth++) {
    const message = current instanceof Error ? current.message || current.name : String(current);
    if (!told.includes(message)) causes.push(message);
    told += `\n${message}`;
    current = current instanceof Error ? current.cause : undefined;
  }
  return causes;
}

function renderBug(error: unknown, options: RenderOptions): string[] {
  const safe = (text: string): string => redact(text, options.secrets);
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const title = isOcibuildError(error) ? message : `Cannot continue: ${message || 'unknown failure'}`;
  return [
    ...indented('error[INTERNAL]: ', safe(title)),
    ...stackLines(stack, safe),
    ...(error instanceof Error ? causesOf(error).flatMap((cause) => indented('cause: ', safe(cause))) : []),
    'hint: this is a bug in ocibuild: report it with the lines above and the output of `ocibuild version`',
  ];
}

function stackLines(stack: string, safe: (text: string) => string): string[] {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => `    ${safe(line.trim())}`);
}

function indented(label: string, text: string): string[] {
  const [first = '', ...more] = text.split('\n');
  return [`${label}${first}`, ...more.map((line) => `  ${line}`)];
}
