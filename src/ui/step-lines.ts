import type { ProgressEvent } from '../solver/types.ts';
import { formatAmount, formatSeconds, safeLine, safeText } from './format.ts';
import { lastLine, splitLines } from './log-lines.ts';
import type { PrinterDeps } from './types.ts';

/** Progress of a transfer is told at each of these shares, or after `STATUS_MS`. */
const STATUS_SHARE = 0.05;
const STATUS_MS = 5_000;
/** Times below this say nothing. */
const MIN_SHOWN_MS = 5;

/** A step whose events become lines. */
export interface LinedStep {
  name: string;
  startedMs?: number;
  closed: boolean;
  failed: boolean;
  readonly rest: { stdout: Uint8Array; stderr: Uint8Array };
  readonly statuses: Map<string, { startedMs: number; toldMs: number; toldCurrent: number }>;
}

/** One line of output; a later one with the same key may stand for it as long as it is not shown. */
export interface StepLine {
  readonly key?: string;
  readonly text: string;
}

export type LineOptions = Pick<PrinterDeps, 'secrets' | 'keepColours'>;

export type StepEvent = Exclude<ProgressEvent, { kind: 'warning' | 'planned' }>;

export function newLinedStep(name: string): LinedStep {
  return {
    name,
    closed: false,
    failed: false,
    rest: { stdout: new Uint8Array(0), stderr: new Uint8Array(0) },
    statuses: new Map(),
  };
}

/** Takes an event into the step and gives the lines that it adds, as Docker's plain format has them. */
export function linesOf(step: LinedStep, event: StepEvent, how: LineOptions): readonly StepLine[] {
  const { secrets } = how;
  // A step that is tried again, after a damaged blob was made anew, goes on under its number.
  if (event.kind === 'started') step.closed = false;
  if (step.closed && event.kind !== 'vertex') return [];
  switch (event.kind) {
    case 'vertex':
      step.name = safeText(event.name, secrets);
      return [];
    case 'started':
      step.startedMs = event.time;
      return [];
    case 'cached':
      return close(step, 'CACHED', { ...how, timeMs: event.time });
    case 'log': {
      const { lines, rest } = splitLines(step.rest[event.stream], event.data);
      step.rest[event.stream] = rest;
      return logLines(step, lines, { ...how, timeMs: event.time });
    }
    case 'status': {
      const text = statusText(step, event);
      return text === undefined ? [] : [{ key: event.id, text: safeText(text, secrets) }];
    }
    case 'explain':
      return event.changes.map((change) => ({ text: `not cached: ${safeText(change, secrets)}` }));
    case 'completed': {
      const took = formatSeconds(event.time - (step.startedMs ?? event.time));
      step.failed = event.error !== undefined && event.cancelled !== true;
      const error = event.error === undefined ? undefined : safeText(event.error.message, secrets);
      const last = event.cancelled ? 'CANCELED' : error === undefined ? `DONE ${took}` : `ERROR: ${error}`;
      return close(step, last, { ...how, timeMs: event.time });
    }
  }
}

interface LineContext extends LineOptions {
  readonly timeMs: number;
}

function close(step: LinedStep, last: string, context: LineContext): readonly StepLine[] {
  const open = [...lastLine(step.rest.stdout), ...lastLine(step.rest.stderr)];
  step.closed = true;
  return [...logLines(step, open, context), { text: last }];
}

function logLines(
  step: LinedStep,
  lines: readonly string[],
  { timeMs, secrets, keepColours = true }: LineContext,
): readonly StepLine[] {
  const seconds = ((timeMs - (step.startedMs ?? timeMs)) / 1000).toFixed(3);
  return lines.map((line) => ({ text: `${seconds} ${safeLine(line, secrets, { keepColours })}` }));
}

/** The line for a status, or undefined where too little has changed since the last one. */
function statusText(step: LinedStep, event: StepEvent & { kind: 'status' }): string | undefined {
  const { id, time, current, total, done = false } = event;
  const known = step.statuses.get(id);
  const status = known ?? { startedMs: time, toldMs: time, toldCurrent: current };
  step.statuses.set(id, status);
  if (known !== undefined && !done) {
    const share = total === undefined || total === 0 ? 0 : (current - known.toldCurrent) / total;
    if (share < STATUS_SHARE && time - known.toldMs < STATUS_MS) return undefined;
  }
  status.toldMs = time;
  status.toldCurrent = current;
  const amount = formatAmount(id, current, total);
  const took = time - status.startedMs;
  return [
    id,
    ...(amount === '' ? [] : [amount]),
    ...(took >= MIN_SHOWN_MS ? [formatSeconds(took)] : []),
    ...(done ? ['done'] : []),
  ].join(' ');
}
