import { stripVTControlCharacters } from 'node:util';
import { countsThings, formatAmount, formatBytes, formatSeconds } from './format.ts';
import { clip, fitTo, widthOf } from './text-width.ts';
import type { Theme } from './theme.ts';
import type { StepView, Transfer } from './view-model.ts';

/** Below this width nothing is set in columns. */
const NARROW = 50;
/** From here on bars and names of transfers are long. */
const WIDE = 70;
const MAX_TRANSFERS = 4;

export interface RowContext {
  readonly columns: number;
  readonly theme: Theme;
  readonly nowMs: number;
  /** Lines of output below a step. */
  readonly logLines?: number | undefined;
  /** Names of steps are not cut. */
  readonly keepsNames?: boolean;
  readonly secrets: readonly string[];
  /** Columns of stage and number, so that rows stand below each other. */
  readonly placeColumns: number;
  /** Whether rows name their stage. */
  readonly showsGroup: boolean;
}

/** Stage and number of a step. */
export function placeOf({ name: { group = '', number = '' } }: StepView, showsGroup: boolean): string {
  return [...(showsGroup && group !== '' ? [group] : []), ...(number === '' ? [] : [number])].join(' ');
}

/** Columns that the places of these steps need, as far as there is room. */
export function placeColumnsOf(steps: readonly StepView[], columns: number, showsGroup: boolean): number {
  if (columns < NARROW) return 0;
  const widest = Math.max(0, ...steps.map((step) => widthOf(placeOf(step, showsGroup))));
  return Math.min(widest, Math.floor(columns / 3));
}

/** A step on one line: state, place, instruction and time. */
export function stepRow(step: StepView, context: RowContext): string {
  const { nowMs, placeColumns, showsGroup, theme } = context;
  const place = placeOf(step, showsGroup);
  const took = formatSeconds((step.endedMs ?? nowMs) - (step.startedMs ?? nowMs));
  const words = { waiting: '', running: took, done: took, cached: 'cached', failed: `failed ${took}` };
  const end = step.state === 'cancelled' ? 'cancelled' : words[step.state];
  const isPlaced = placeColumns > 0 && step.name.number !== undefined;
  const start = isPlaced ? fitTo(place, placeColumns, theme) : place;
  return row(
    { mark: theme.mark(step.state), text: `${start}${start === '' ? '' : ' '}${step.name.text}`, end },
    context,
  );
}

/** Several steps on one line. */
export function foldedRow(
  steps: readonly StepView[],
  { text, end, state }: { readonly text: string; readonly end: string; readonly state: StepView['state'] },
  context: RowContext,
): string {
  const [first] = steps;
  if (steps.length === 1 && first !== undefined) return stepRow(first, context);
  return row({ mark: context.theme.mark(state), text, end }, context);
}

/** Text on the left, a word or time on the right; the text gives way. */
function row(
  { mark, text, end }: { readonly mark: string; readonly text: string; readonly end: string },
  { columns, keepsNames, theme }: RowContext,
): string {
  const room = Math.max(columns - 3 - end.length, 1);
  const plain = stripVTControlCharacters(text);
  if (keepsNames === true && widthOf(plain) > room) {
    return `${mark} ${plain} ${theme.paint('quiet', end)}`.trimEnd();
  }
  const left = `${mark} ${fitTo(plain, room, theme)}`;
  return clip(end === '' ? left.trimEnd() : `${left} ${theme.paint('quiet', end)}`, columns, theme);
}

/** What stands below a step that runs: its transfers, then its last output, in at most that many lines. */
export function detailLines(step: StepView, max: number, context: RowContext): string[] {
  const { columns, logLines = max, secrets, theme } = context;
  const transfers = transferLines(step, context).slice(0, max);
  const indent = columns < NARROW ? '' : '  ';
  const logs = step.tail?.last(Math.min(max - transfers.length, logLines), secrets) ?? [];
  return [
    ...transfers,
    ...logs.map((line) => {
      const text = theme.color ? line : stripVTControlCharacters(line);
      return clip(`${indent}${theme.paint('quiet', theme.rule)} ${text}`, columns, theme);
    }),
  ];
}

/** Why the step was not cached. */
export function reasonLines({ reasons }: StepView, { columns, theme }: RowContext): string[] {
  const indent = columns < NARROW ? '' : '    ';
  return reasons.map((reason) =>
    clip(`${indent}${theme.paint('quiet', `not cached: ${reason}`)}`, columns, theme),
  );
}

function transferLines(step: StepView, context: RowContext): string[] {
  const all = [...step.transfers.values()];
  const open = all.filter(({ done }) => !done);
  const sized = all.filter(({ id, total }) => total !== undefined && total > 0 && !countsThings(id));
  if (open.length === 0) return [];
  const lines = open.slice(-MAX_TRANSFERS).map((transfer) => transferLine(transfer, context));
  if (sized.length < 2) return lines;
  const sum = (of: (transfer: Transfer) => number): number => sized.reduce((all, each) => all + of(each), 0);
  const rate = sum(({ done, rate: each = 0 }) => (done ? 0 : each));
  const whole = {
    id: `${sized.filter(({ done }) => done).length} of ${sized.length} parts`,
    current: sum(({ current }) => current),
    total: sum(({ total = 0 }) => total),
    ...(rate > 0 ? { rate } : {}),
  };
  return [transferLine({ ...whole, isBytes: true }, context), ...lines];
}

function transferLine(
  transfer: Pick<Transfer, 'id' | 'current' | 'total' | 'rate'> & { readonly isBytes?: boolean },
  { columns, theme }: RowContext,
): string {
  const { id, current, total, rate } = transfer;
  const amount = formatAmount(transfer.isBytes === true ? '' : id, current, total);
  const speed =
    rate === undefined || !(transfer.isBytes ?? !countsThings(id))
      ? ''
      : `${formatBytes(Math.round(rate))}/s`;
  const name = id.replace(/sha256:([0-9a-f]{12})[0-9a-f]{52}/, '$1');
  if (columns < NARROW) return clip([name, amount].filter((part) => part !== '').join(' '), columns, theme);
  const isWide = columns >= WIDE;
  const bar = total === undefined || total === 0 ? [] : [theme.bar(current / total, isWide ? 16 : 8)];
  const parts = [fitTo(name, isWide ? 26 : 12, theme), ...bar, amount, speed];
  return clip(`    ${parts.join('  ').trimEnd()}`, columns, theme);
}
