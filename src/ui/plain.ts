import type { ProgressEvent } from '../solver/types.ts';
import { warningSummary, warningText } from './format.ts';
import { type LinedStep, linesOf, newLinedStep } from './step-lines.ts';
import type { Printer, PrinterDeps } from './types.ts';

/** Lines of steps that run side by side are gathered this long, so that a quick step comes as one block. */
const FLUSH_MS = 100;
/** Of names that are cut. */
const MAX_NAME = 72;
/** Another step takes over when the shown one was quiet this long, */
const QUIET_MS = 5_000;
/** or when it has waited this long itself. */
const MAX_WAIT_MS = 10_000;

interface Step extends LinedStep {
  /** Steps are numbered as they begin, which is how `ocibuild logs --build` finds them. */
  index: number;
  /** Output that is not shown yet; an entry with a key is replaced by a later one with the same key. */
  readonly pending: { key?: string; text: string }[];
  waitingSinceMs?: number;
  shownMs: number;
}

/**
 * Docker's plain format: `#N name` when a step is first shown or shown again, `#N 0.123 text` for its output,
 * `#N ...` when the view leaves it, and a last line CACHED, DONE, CANCELED or ERROR.
 * @param title text of the `#0` line
 */
export function createPlainPrinter(deps: PrinterDeps, title: string): Printer {
  const steps = new Map<string, Step>();
  const warnings: string[] = [];
  let begun = 0;
  let focus: Step | undefined;
  let timer: { readonly atMs: number; cancel(): void } | undefined;
  let finished = false;
  deps.write(`#0 ${title}\n`);

  const print = (step: Step): void => {
    let text = '';
    if (focus !== step) {
      if (focus !== undefined) text += `#${focus.index} ...\n`;
      text += `\n#${step.index} ${named(step)}\n`;
      focus = step;
    }
    for (const entry of step.pending.splice(0)) text += `#${step.index} ${entry.text}\n`;
    delete step.waitingSinceMs;
    step.shownMs = deps.now();
    deps.write(text);
    if (step.closed) focus = undefined;
  };

  const named = ({ name }: Step): string =>
    deps.cutsNames === true && name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}...` : name;

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
  };

  const handle = (event: ProgressEvent): void => {
    if (event.kind === 'warning') {
      warnings.push(warningText(event, deps.secrets));
      return;
    }
    if (event.kind === 'planned') return;
    const step: Step = steps.get(event.vertex) ?? {
      ...newLinedStep(event.vertex),
      ...{ index: 0, pending: [], shownMs: event.time },
    };
    steps.set(event.vertex, step);
    if (event.kind !== 'vertex' && step.index === 0) step.index = ++begun;
    const lines = linesOf(step, event, deps);
    for (const { text, key } of lines) add(step, text, key);
    if (event.kind === 'vertex' || (lines.length === 0 && event.kind !== 'started')) return;
    step.waitingSinceMs ??= deps.now();
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
