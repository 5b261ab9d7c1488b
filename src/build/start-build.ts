import type { ProgressEvent } from '../solver/types.ts';
import { withCallerEvents } from './caller-events.ts';
import { normaliseOptions } from './normalise.ts';
import type { BuildOptions } from './options.ts';
import { type BuildRun, type RunOptions, runBuild } from './run-build.ts';

/** What is kept of logs and progress for who iterates later; nobody may, and a step may print gigabytes. */
const KEPT_BYTES = 16 * 1024 * 1024;
/** About what an event takes beside its data. */
const EVENT_BYTES = 256;

/** A build that runs, in whatever process. */
export interface StartedBuild<T> {
  readonly run: Promise<T>;
  readonly events: () => AsyncIterator<ProgressEvent>;
  readonly cancel: (reason?: unknown) => void;
}

/** What the command line needs beside the result: the trace for its record of the build. */
export function startBuild(options: BuildOptions): StartedBuild<BuildRun> {
  return superviseBuild(options, async (how) => runBuild(normaliseOptions(options), how));
}

/** Keeps events until they are taken, of logs and progress the first 16 MiB while nobody takes them, and joins what can stop a build. */
export function superviseBuild<T>(
  options: Pick<BuildOptions, 'signal' | 'onEvent'>,
  start: (how: RunOptions) => Promise<T>,
): StartedBuild<T> {
  const cancelled = new AbortController();
  const signal =
    options.signal === undefined ? cancelled.signal : AbortSignal.any([options.signal, cancelled.signal]);
  let queue: ProgressEvent[] | undefined = options.onEvent === undefined ? [] : undefined;
  let keptBytes = 0;
  let readers = 0;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  let ended = false;
  const mayKeep = (event: ProgressEvent): boolean => {
    if (readers > 0 || (event.kind !== 'log' && event.kind !== 'status')) return true;
    const bytes = EVENT_BYTES + (event.kind === 'log' ? event.data.length : 0);
    if (keptBytes + bytes > KEPT_BYTES) return false;
    keptBytes += bytes;
    return true;
  };
  const run = withCallerEvents({ signal, onEvent: options.onEvent }, (how) =>
    start({
      signal: how.signal,
      emit(event) {
        how.emit(event);
        if (queue !== undefined && mayKeep(event)) queue.push(event);
        wake();
      },
    }),
  );
  const end = (): void => {
    ended = true;
    wake();
  };
  run.then(end, end);

  async function* events(): AsyncGenerator<ProgressEvent> {
    queue ??= [];
    readers++;
    try {
      for (;;) {
        const taken: readonly ProgressEvent[] = queue.splice(0);
        keptBytes = 0;
        yield* taken;
        if (taken.length > 0) continue;
        if (ended) return;
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
        });
      }
    } finally {
      readers--;
    }
  }
  return { run, events, cancel: (reason) => cancelled.abort(reason) };
}
