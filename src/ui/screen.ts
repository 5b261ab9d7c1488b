import { stripVTControlCharacters } from 'node:util';
import { formatAmount, formatSeconds } from './format.ts';
import type { StepView, ViewState } from './view-model.ts';

export type LineStyle = 'header' | 'running' | 'done' | 'cached' | 'failed' | 'output';

/** One line of the screen, no wider than asked for. */
export interface ScreenLine {
  readonly text: string;
  readonly style: LineStyle;
}

export interface ScreenSize {
  readonly columns: number;
  /** Lines that may be used; undefined: as many as needed. */
  readonly rows?: number;
}

/** Finished transfers are of no interest while others run. */
const MAX_STATUSES = 5;

/** The state as lines: a header, a row for each step with its time, and below running or failed steps their
 * transfers and last output. Neighbouring cached steps are folded into one row; where rows are short, finished
 * steps are, and then output gives way. */
export function screenLines(
  state: ViewState,
  { columns, rows }: ScreenSize,
  { nowMs, finished = false }: { nowMs: number; finished?: boolean },
): ScreenLine[] {
  const all = Object.values(state.steps);
  const begun = all.filter((step) => step.order >= 0).sort((a, b) => a.order - b.order);
  const ended = all.filter((step) => step.endedMs !== undefined).length;
  const took = formatSeconds(nowMs - (state.startedMs ?? nowMs));
  const header: ScreenLine = {
    text: clip(`[+] Building ${took} (${ended}/${all.length})${finished ? ' FINISHED' : ''}`, columns),
    style: 'header',
  };
  const blocks = begun.map((step) => ({ step, lines: stepLines(step, columns, { nowMs, finished }) }));
  const room = rows === undefined ? Number.POSITIVE_INFINITY : Math.max(rows - 1, 1);
  return [header, ...fold(blocks, columns, room)];
}

interface Block {
  readonly step: StepView;
  readonly lines: readonly ScreenLine[];
}

function fold(blocks: readonly Block[], columns: number, room: number): ScreenLine[] {
  const folded = foldCached(blocks, columns);
  const count = (list: readonly Block[]): number => list.reduce((sum, block) => sum + block.lines.length, 0);
  if (count(folded) <= room) return folded.flatMap((block) => block.lines);
  const open = folded.filter(({ step }) => step.state === 'running' || step.state === 'failed');
  const hidden = folded.length - open.length;
  const first: ScreenLine[] =
    hidden === 0 ? [] : [{ text: clip(` => ${hidden} rows of finished steps`, columns), style: 'done' }];
  if (first.length + count(open) <= room) return [...first, ...open.flatMap((block) => block.lines)];
  const perStep = Math.max(1, Math.floor((room - first.length) / Math.max(open.length, 1)));
  const short = open.flatMap(({ lines }) => [
    ...lines.slice(0, 1),
    ...(perStep > 1 ? lines.slice(1).slice(1 - perStep) : []),
  ]);
  return [...first, ...short].slice(0, room);
}

function foldCached(blocks: readonly Block[], columns: number): Block[] {
  const result: Block[] = [];
  let run: Block[] = [];
  const close = (): void => {
    const [first] = run;
    if (first !== undefined && run.length > 1) {
      const text = row(`CACHED ${run.length} steps`, '0.0s', columns);
      result.push({ step: first.step, lines: [{ text, style: 'cached' }] });
    } else result.push(...run);
    run = [];
  };
  for (const block of blocks) {
    if (block.step.state === 'cached') run.push(block);
    else {
      close();
      result.push(block);
    }
  }
  close();
  return result;
}

function stepLines(
  step: StepView,
  columns: number,
  { nowMs, finished }: { nowMs: number; finished: boolean },
): ScreenLine[] {
  const took = formatSeconds((step.endedMs ?? nowMs) - (step.startedMs ?? nowMs));
  const style = styleOf(step);
  const mark = {
    waiting: '',
    running: '',
    cached: 'CACHED ',
    done: '',
    failed: 'ERROR ',
    cancelled: 'CANCELED ',
  };
  const lines: ScreenLine[] = [{ text: row(`${mark[step.state]}${step.name}`, took, columns), style }];
  // The report of a failed step has its output, so the last screen need not.
  const showsDetails = step.state === 'running' || (step.state === 'failed' && !finished);
  if (!showsDetails) return lines;
  const statuses = Object.entries(step.statuses).filter(([, status]) => !status.done);
  for (const [id, { current, total }] of statuses.slice(-MAX_STATUSES)) {
    lines.push({ text: clip(` => => ${id} ${formatAmount(id, current, total)}`, columns), style: 'running' });
  }
  for (const line of step.logs) {
    lines.push({ text: clip(` => => # ${stripVTControlCharacters(line)}`, columns), style: 'output' });
  }
  return lines;
}

function styleOf({ state }: StepView): LineStyle {
  switch (state) {
    case 'cached':
      return 'cached';
    case 'failed':
    case 'cancelled':
      return 'failed';
    case 'done':
      return 'done';
    case 'waiting':
    case 'running':
      return 'running';
  }
}

/** Name on the left, time on the right; the name gives way. */
function row(name: string, time: string, columns: number): string {
  const left = clip(` => ${name}`, Math.max(columns - time.length - 1, 8));
  return clip(`${left}${' '.repeat(Math.max(columns - widthOf(left) - time.length, 1))}${time}`, columns);
}

/** Cuts to a width in columns, with an ellipsis in the last one. */
function clip(text: string, columns: number): string {
  const clean = text.replaceAll('\t', ' ');
  if (widthOf(clean) <= columns) return clean;
  let result = '';
  let width = 0;
  for (const character of clean) {
    const next = characterWidth(character);
    if (width + next > columns - 1) break;
    result += character;
    width += next;
  }
  return `${result}…`;
}

function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** Columns of a character: East Asian wide ones and emoji take two, combining marks none. */
function characterWidth(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/^(?:\p{Mn}|\p{Me}|\p{Cf})$/u.test(character)) return 0;
  const isWide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd);
  return isWide ? 2 : 1;
}
