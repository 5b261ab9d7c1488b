import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { EventSink } from '../../solver/types.ts';
import type { DownloadReport, GitReport } from '../../source/types.ts';
import { fetchVertex } from '../internal-steps.ts';

/** Parts of a second say nothing, and a gigabyte comes in 16,000 pieces. */
const REPORT_MS = 100;

/** Shows each download that has bytes to fetch as a step of its own: whatever needs it has not begun yet. */
export function createDownloadReports(emit: EventSink, now: () => number): (url: string) => DownloadReport {
  return (url) => {
    const name = `fetching ${url}` as const;
    const vertex = fetchVertex(name);
    const id = /[^/]+(?=[?#]|$)/.exec(new URL(url).pathname)?.[0] ?? url;
    let reportedMs: number | undefined;
    const status = (current: number, total: number | undefined, done: boolean): void => {
      const size = total === undefined ? {} : { total };
      emit({ kind: 'status', time: now(), vertex, id, current, ...size, ...(done ? { done } : {}) });
    };
    return {
      bytes(current, total) {
        if (reportedMs === undefined) {
          emit({ kind: 'vertex', time: now(), vertex, name });
          emit({ kind: 'started', time: now(), vertex });
        } else if (now() - reportedMs < REPORT_MS) return;
        reportedMs = now();
        status(current, total, false);
      },
      end(outcome) {
        if (reportedMs === undefined) return;
        if ('size' in outcome) status(outcome.size, outcome.size, true);
        emit({
          kind: 'completed',
          time: now(),
          vertex,
          ...('error' in outcome ? failure(outcome.error) : {}),
        });
      },
    };
  };
}

/** Shows each fetch of a repository as a step of its own. */
export function createGitReports(emit: EventSink, now: () => number): (remote: string) => GitReport {
  return (remote) => {
    const name = `fetching ${remote}` as const;
    const vertex = fetchVertex(name);
    const told = new Map<string, number>();
    emit({ kind: 'vertex', time: now(), vertex, name });
    emit({ kind: 'started', time: now(), vertex });
    return {
      part(id, current, total) {
        const done = current === total;
        if (!done && now() - (told.get(id) ?? -REPORT_MS) < REPORT_MS) return;
        told.set(id, now());
        emit({ kind: 'status', time: now(), vertex, id, current, total, ...(done ? { done } : {}) });
      },
      end(error) {
        emit({ kind: 'completed', time: now(), vertex, ...(error === undefined ? {} : failure(error)) });
      },
    };
  };
}

function failure(error: unknown): { readonly cancelled: true } | { readonly error: OcibuildError } {
  if (!isOcibuildError(error))
    return { error: new OcibuildError('INTERNAL', String(error), { cause: error }) };
  return error.category === 'cancelled' ? { cancelled: true } : { error };
}
