import type { ProgressEvent } from '../solver/types.ts';
import { formatAmount, formatSeconds, safeLine, safeText, warningSummary, warningText } from './format.ts';
import { lastLine, splitLines } from './log-lines.ts';
import type { Printer, PrinterDeps } from './types.ts';

/** Lines of steps that run side by side are gathered this long, so that a quick step comes as one block. */
const FLUSH_MS = 100;
/** Another step takes over when the shown one was quiet this long, */
const QUIET_MS = 5_000;
/** or when it has waited this long itself. */
const MAX_WAIT_MS = 10_000;
/** Progress of a transfer is told at each of these shares, or after `STATUS_MS`. */
const STATUS_SHARE = 0.05;
const STATUS_MS = 5_000;
/** Times below this say nothing. */
const MIN_SHOWN_MS = 5;

interface Step {
  name: string;
  /** Number shown, given when it is first printed. */
  index?: number;
  startedMs?: number;
  closed: boolean;
  /** Output that is not shown yet; an entry with a key is replaced by a later one with the same key. */
  readonly pending: { key?: string; text: string }[];
  waitingSinceMs?: number;
  shownMs: number;
  readonly rest: { stdout: Uint8Array; stderr: Uint8Array };
  readonly statuses: Map<string, { startedMs: number; toldMs: number; toldCurrent: number }>;
}

/**
 * Docker's plain format: `#N name` when a step is first shown or shown again, `#N 0.123 text` for its output,
 * `#N ...` when the view leaves it, and a last line CACHED, DONE, CANCELED or ERROR.
 * @param title text of the `#0` line
 */
export function createPlainPrinter(deps: PrinterDeps, title: string): Printer {
  const steps = new Map<string, Step>();
  const warnings: string[] = [];
  let shown = 0;
  let focus: Step | undefined;
  let timer: { readonly atMs: number; cancel(): void } | undefined;
  let finished = false;
  deps.write(`#0 ${title}\n`);

  const print = (step: Step): void => {
    let text = '';
    if (focus !== step) {
      if (focus !== undefined) text += `#${focus.index} ...\n`;
      step.index ??= ++shown;
      text += `\n#${step.index} ${step.name}\n`;
      focus = step;
    }
    for (const entry of step.pending.splice(0)) text += `#${step.index} ${entry.text}\n`;
    delete step.waitingSinceMs;
    step.shownMs = deps.now();
    deps.write(text);
    if (step.closed) focus = undefined;
  };

  const flush = (): void => {
    timer?.cancel();
    timer = undefined;
    if (focus !== undefined && focus.pending.length > 0) print(focus);
    const waiting = (): Step[] =>
      [...steps.values()]
        .filter((step) => step !== focus && step.waitingSinceMs !== undefined)
        .sort((a, b) => (a.waitingSinceMs ?? 0) - (b.waitingSinceMs ?? 0));
    for (const step of waiting()) if (step.closed) print(step);
    const [next] = waiting();
    if (next === undefined) return;
    const now = deps.now();
    const quiet = focus === undefined || now - focus.shownMs >= QUIET_MS;
    if (quiet || now - (next.waitingSinceMs ?? now) >= MAX_WAIT_MS) print(next);
    if (waiting().length > 0) plan(1000);
  };

  const plan = (ms: number): void => {
    const atMs = deps.now() + ms;
    if (finished || (timer !== undefined && timer.atMs <= atMs)) return;
    timer?.cancel();
    timer = { atMs, cancel: deps.schedule(flush, ms) };
  };

  const add = (step: Step, text: string, key?: string): void => {
    const earlier = key === undefined ? undefined : step.pending.find((entry) => entry.key === key);
    if (earlier !== undefined) earlier.text = text;
    else step.pending.push(key === undefined ? { text } : { key, text });
    step.waitingSinceMs ??= deps.now();
  };

  const addLines = (step: Step, lines: readonly string[], timeMs: number): void => {
    const seconds = ((timeMs - (step.startedMs ?? timeMs)) / 1000).toFixed(3);
    for (const line of lines) add(step, `${seconds} ${safeLine(line, deps.secrets)}`);
  };

  const close = (step: Step, text: string, timeMs: number): void => {
    addLines(step, [...lastLine(step.rest.stdout), ...lastLine(step.rest.stderr)], timeMs);
    add(step, text);
    step.closed = true;
  };

  const handle = (event: ProgressEvent): void => {
    if (event.kind === 'warning') {
      warnings.push(warningText(event, deps.secrets));
      return;
    }
    const step = steps.get(event.vertex) ?? newStep(event.vertex, event.time);
    steps.set(event.vertex, step);
    if (event.kind === 'vertex') {
      step.name = safeText(event.name, deps.secrets);
      return;
    }
    // A step that is tried again, after a damaged blob was made anew, goes on under its number.
    if (event.kind === 'started') step.closed = false;
    if (step.closed) return;
    switch (event.kind) {
      case 'started':
        step.startedMs = event.time;
        step.waitingSinceMs ??= deps.now();
        break;
      case 'cached':
        close(step, 'CACHED', event.time);
        break;
      case 'log': {
        const split = splitLines(step.rest[event.stream], event.data);
        step.rest[event.stream] = split.rest;
        addLines(step, split.lines, event.time);
        break;
      }
      case 'status': {
        const text = statusText(step, event);
        if (text !== undefined) add(step, safeText(text, deps.secrets), event.id);
        break;
      }
      case 'explain':
        for (const change of event.changes) add(step, `not cached: ${safeText(change, deps.secrets)}`);
        break;
      case 'completed': {
        const took = formatSeconds(event.time - (step.startedMs ?? event.time));
        const error = event.error === undefined ? undefined : safeText(event.error.message, deps.secrets);
        close(
          step,
          event.cancelled ? 'CANCELED' : error === undefined ? `DONE ${took}` : `ERROR: ${error}`,
          event.time,
        );
        break;
      }
    }
    plan(FLUSH_MS);
  };

  return {
    event: handle,
    async finish() {
      if (finished) return;
      flush();
      finished = true;
      timer?.cancel();
      for (const step of steps.values()) if (step.pending.length > 0) print(step);
      deps.write(
        warningSummary(warnings)
          .map((line) => `${line}\n`)
          .join(''),
      );
    },
  };
}

function newStep(name: string, timeMs: number): Step {
  return {
    name,
    closed: false,
    pending: [],
    shownMs: timeMs,
    rest: { stdout: new Uint8Array(0), stderr: new Uint8Array(0) },
    statuses: new Map(),
  };
}

/** The line for a status, or undefined where too little has changed since the last one. */
function statusText(step: Step, event: ProgressEvent & { kind: 'status' }): string | undefined {
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
