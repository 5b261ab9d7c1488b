import type { ProgressEvent } from '../solver/types.ts';
import { safeText, warningText } from './format.ts';
import { createLogTail, type LogTail } from './log-tail.ts';
import { isInternalName, parseStepName, type StepName } from './step-name.ts';

/** Over this time a rate is measured. */
const RATE_MS = 1000;
/** Preparing a build that finds all in the cache is seldom longer, */
const PREPARING_MS = 1500;
/** nor is writing its result. */
const OTHER_MS = 250;

export interface StepView {
  readonly id: string;
  name: StepName;
  state: 'waiting' | 'running' | 'cached' | 'done' | 'failed' | 'cancelled';
  startedMs?: number;
  endedMs?: number;
  /** The end of its output; let go when all went well. */
  tail?: LogTail;
  /** Why it was not cached. */
  readonly reasons: string[];
  readonly transfers: Map<string, Transfer>;
  /** Place among the steps that have begun; -1 before. */
  order: number;
}

/** Bytes, or things, that move. */
export interface Transfer {
  readonly id: string;
  current: number;
  total?: number;
  done: boolean;
  /** Per second; undefined until it was measured. */
  rate?: number;
  mark: { readonly timeMs: number; readonly current: number };
}

export interface SeenWarning {
  readonly text: string;
  /** What a lint rule says; `--check` says it again. */
  readonly isFinding: boolean;
}

/** What the screen shows. Events change it in place: at thousands of lines a second copies would cost more than drawing. */
export interface BuildView {
  readonly steps: ReadonlyMap<string, StepView>;
  /** Ids of steps that are to come, or came. */
  readonly planned: ReadonlySet<string>;
  readonly warnings: readonly SeenWarning[];
  readonly secrets: readonly string[];
  readonly startedMs: number | undefined;
  /** Time of the last event. */
  readonly lastMs: number | undefined;
  apply(event: ProgressEvent): void;
  /** Nothing runs any more, whatever was told. */
  stop(): void;
  /** Whether a step runs now. */
  isRunning(): boolean;
  /** Whether there is more to see than a build that finds all in the cache: a step of a stage has run, or something else
   * takes its time. */
  isWorking(nowMs: number): boolean;
}

export function createView(secrets: readonly string[] = []): BuildView {
  const steps = new Map<string, StepView>();
  const running = new Set<StepView>();
  const planned = new Set<string>();
  const warnings: SeenWarning[] = [];
  let startedMs: number | undefined;
  let lastMs: number | undefined;
  let begun = 0;
  let hasRun = false;

  const stepOf = (id: string): StepView => {
    const known = steps.get(id);
    if (known !== undefined) return known;
    const step: StepView = {
      id,
      name: parseStepName(safeText(id, secrets)),
      state: 'waiting',
      reasons: [],
      transfers: new Map(),
      order: -1,
    };
    steps.set(id, step);
    return step;
  };

  const enter = (step: StepView, state: StepView['state']): void => {
    if (step.order < 0) step.order = begun++;
    step.state = state;
    if (state === 'running') running.add(step);
    else running.delete(step);
  };

  const end = (step: StepView, state: StepView['state'], time: number): void => {
    enter(step, state);
    step.startedMs ??= time;
    step.endedMs = time;
    if (state !== 'failed') delete step.tail;
    if (state !== 'cached' && step.name.number !== undefined) hasRun = true;
  };

  return {
    steps,
    planned,
    warnings,
    secrets,
    get startedMs() {
      return startedMs;
    },
    get lastMs() {
      return lastMs;
    },
    apply(event) {
      if (event.kind === 'warning') {
        warnings.push({ text: warningText(event, secrets), isFinding: event.finding !== undefined });
        return;
      }
      startedMs ??= event.time;
      lastMs = event.time;
      if (event.kind === 'planned') {
        for (const id of event.vertices) planned.add(id);
        return;
      }
      const step = stepOf(event.vertex);
      switch (event.kind) {
        case 'vertex':
          step.name = parseStepName(safeText(event.name, secrets));
          return;
        case 'started':
          // Also after an end: a step may be tried again.
          delete step.endedMs;
          step.startedMs = event.time;
          enter(step, 'running');
          return;
        case 'cached':
          end(step, 'cached', event.time);
          return;
        case 'log':
          if (step.endedMs !== undefined) return;
          step.tail ??= createLogTail();
          step.tail.append(event.stream, event.data);
          return;
        case 'status':
          move(step, event, secrets);
          return;
        case 'explain':
          step.reasons.push(...event.changes.map((change) => safeText(change, secrets)));
          return;
        case 'completed':
          if (step.endedMs !== undefined) return;
          end(
            step,
            event.cancelled === true ? 'cancelled' : event.error === undefined ? 'done' : 'failed',
            event.time,
          );
      }
    },
    stop() {
      for (const step of [...running]) end(step, 'cancelled', lastMs ?? 0);
    },
    isRunning: () => running.size > 0,
    isWorking(nowMs) {
      const isLong = ({ name, startedMs: from = nowMs }: StepView): boolean =>
        nowMs - from >= (isInternalName(name) ? PREPARING_MS : OTHER_MS);
      return hasRun || [...running].some((step) => step.name.number !== undefined || isLong(step));
    },
  };
}

function move(
  step: StepView,
  { id, time, current, total, done = false }: ProgressEvent & { kind: 'status' },
  secrets: readonly string[],
): void {
  const known = step.transfers.get(id);
  if (known === undefined) {
    const mark = { timeMs: time, current };
    const size = total === undefined ? {} : { total };
    step.transfers.set(id, { id: safeText(id, secrets), current, ...size, done, mark });
    return;
  }
  known.current = current;
  known.done = done;
  if (total !== undefined) known.total = total;
  const passedMs = time - known.mark.timeMs;
  if (passedMs < RATE_MS) return;
  known.rate = Math.max(((current - known.mark.current) * 1000) / passedMs, 0);
  known.mark = { timeMs: time, current };
}
