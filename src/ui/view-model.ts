import type { ProgressEvent } from '../solver/types.ts';
import { safeLine, safeText, warningText } from './format.ts';
import { lastLine, splitLines } from './log-lines.ts';

/** Last output lines that are kept for each step. */
const LOG_LINES = 6;
const EMPTY: Uint8Array = new Uint8Array(0);

export interface StepView {
  readonly id: string;
  readonly name: string;
  readonly state: 'waiting' | 'running' | 'cached' | 'done' | 'failed' | 'cancelled';
  readonly startedMs?: number;
  readonly endedMs?: number;
  /** Last lines of output, oldest first. */
  readonly logs: readonly string[];
  /** Current and total of its transfers, by id. */
  readonly statuses: Readonly<Record<string, { current: number; total?: number; done: boolean }>>;
  readonly rest: { readonly stdout: Uint8Array; readonly stderr: Uint8Array };
  /** Place among the steps that have begun; -1 before. */
  readonly order: number;
}

/** What the screen shows; a value that is never changed. */
export interface ViewState {
  /** Steps in the order in which they became known. */
  readonly steps: Readonly<Record<string, StepView>>;
  readonly warnings: readonly string[];
  readonly startedMs?: number;
  /** Steps that have begun, or were found in the cache. */
  readonly begun: number;
}

export function emptyView(): ViewState {
  return { steps: {}, warnings: [], begun: 0 };
}

/** The state after an event. */
export function reduceView(
  state: ViewState,
  event: ProgressEvent,
  secrets: readonly string[] = [],
): ViewState {
  const startedMs = state.startedMs ?? event.time;
  if (event.kind === 'warning') {
    return { ...state, startedMs, warnings: [...state.warnings, warningText(event, secrets)] };
  }
  const before = state.steps[event.vertex] ?? newStep(event.vertex);
  const changed = reduceStep(before, event, secrets);
  const begins = before.order < 0 && changed.state !== 'waiting';
  const step = begins ? { ...changed, order: state.begun } : changed;
  return {
    ...state,
    startedMs,
    begun: state.begun + (begins ? 1 : 0),
    steps: { ...state.steps, [event.vertex]: step },
  };
}

/** True once a step other than reading definitions has begun and not ended: the screen is worth showing. */
export function isWorking(state: ViewState): boolean {
  return Object.values(state.steps).some(
    (step) => step.state === 'running' && !step.name.startsWith('[internal]'),
  );
}

type StepEvent = Exclude<ProgressEvent, { kind: 'warning' }>;

function reduceStep(step: StepView, event: StepEvent, secrets: readonly string[]): StepView {
  const ended = step.endedMs !== undefined;
  switch (event.kind) {
    case 'vertex':
      return { ...step, name: safeText(event.name, secrets) };
    case 'started': {
      // Also after an end: a step may be tried again.
      const { endedMs: _, ...open } = step;
      return { ...open, state: 'running', startedMs: event.time };
    }
    case 'cached':
      return { ...step, state: 'cached', startedMs: step.startedMs ?? event.time, endedMs: event.time };
    case 'log': {
      const { lines, rest } = splitLines(step.rest[event.stream], event.data);
      return addLogs({ ...step, rest: { ...step.rest, [event.stream]: rest } }, lines, secrets);
    }
    case 'status': {
      const { id, current, total, done = false } = event;
      const status = { current, done, ...(total === undefined ? {} : { total }) };
      return { ...step, statuses: { ...step.statuses, [safeText(id, secrets)]: status } };
    }
    case 'explain':
      return addLogs(
        step,
        event.changes.map((change) => `not cached: ${change}`),
        secrets,
      );
    case 'completed': {
      if (ended) return step;
      const lines = [...lastLine(step.rest.stdout), ...lastLine(step.rest.stderr)];
      const state =
        event.cancelled === true ? 'cancelled' : event.error === undefined ? 'done' : ('failed' as const);
      const whole = { ...step, state, endedMs: event.time, rest: { stdout: EMPTY, stderr: EMPTY } } as const;
      return addLogs({ ...whole, startedMs: step.startedMs ?? event.time }, lines, secrets);
    }
  }
}

function addLogs(step: StepView, lines: readonly string[], secrets: readonly string[]): StepView {
  if (lines.length === 0) return step;
  const added = lines.slice(-LOG_LINES).map((line) => safeLine(line, secrets));
  return { ...step, logs: [...step.logs, ...added].slice(-LOG_LINES) };
}

function newStep(id: string): StepView {
  return {
    id,
    name: id,
    state: 'waiting',
    logs: [],
    statuses: {},
    rest: { stdout: EMPTY, stderr: EMPTY },
    order: -1,
  };
}
