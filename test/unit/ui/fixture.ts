import { OcibuildError } from '../../../src/errors/error.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import type { PrinterDeps } from '../../../src/ui/types.ts';

/** A clock, its timers and everything that was written. */
export interface FakeTerminal extends PrinterDeps {
  readonly output: () => string;
  /** Moves the clock on, running the timers that come due. */
  advance(ms: number): void;
}

export function fakeTerminal(secrets: readonly string[] = []): FakeTerminal {
  let time = 1_000_000;
  let text = '';
  let timers: { at: number; callback: () => void }[] = [];
  return {
    secrets,
    now: () => time,
    write: (piece) => {
      text += piece;
    },
    schedule(callback, ms) {
      const timer = { at: time + ms, callback };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    output: () => text,
    advance(ms) {
      const end = time + ms;
      for (;;) {
        const [next] = timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers = timers.filter((timer) => timer !== next);
        time = Math.max(time, next.at);
        next.callback();
      }
      time = end;
    },
  };
}

/** Short ways to make events; times are ms after the start. */
export function eventsFor(vertex: string) {
  const at = (ms: number): { time: number; vertex: string } => ({ time: 1_000_000 + ms, vertex });
  return {
    vertex: (name: string, ms = 0): ProgressEvent => ({ kind: 'vertex', ...at(ms), name }),
    started: (ms: number): ProgressEvent => ({ kind: 'started', ...at(ms) }),
    cached: (ms: number): ProgressEvent => ({ kind: 'cached', ...at(ms) }),
    log: (ms: number, text: string | Buffer, stream: 'stdout' | 'stderr' = 'stdout'): ProgressEvent => ({
      kind: 'log',
      ...at(ms),
      stream,
      data: Buffer.from(text as string),
    }),
    status: (ms: number, id: string, current: number, more: { total?: number; done?: boolean } = {}) =>
      ({ kind: 'status', ...at(ms), id, current, ...more }) satisfies ProgressEvent,
    explain: (ms: number, ...changes: string[]): ProgressEvent => ({ kind: 'explain', ...at(ms), changes }),
    done: (ms: number): ProgressEvent => ({ kind: 'completed', ...at(ms) }),
    failed: (ms: number, message: string): ProgressEvent => ({
      kind: 'completed',
      ...at(ms),
      error: new OcibuildError('RUN_EXIT_NONZERO', message),
    }),
    cancelled: (ms: number): ProgressEvent => ({ kind: 'completed', ...at(ms), cancelled: true }),
  };
}
