import type { ProgressEvent } from '../solver/types.ts';
import { normaliseOptions } from './normalise.ts';
import type { BuildOptions } from './options.ts';
import { type BuildRun, type RunOptions, runBuild } from './run-build.ts';

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

/** Keeps events until they are taken, and joins what can stop a build. */
export function superviseBuild<T>(
  options: Pick<BuildOptions, 'signal' | 'onEvent'>,
  start: (how: RunOptions) => Promise<T>,
): StartedBuild<T> {
  const cancelled = new AbortController();
  const signal =
    options.signal === undefined ? cancelled.signal : AbortSignal.any([options.signal, cancelled.signal]);
  let queue: ProgressEvent[] | undefined = options.onEvent === undefined ? [] : undefined;
  let wake: (() => void) | undefined;
  let ended = false;
  const emit = (event: ProgressEvent): void => {
    options.onEvent?.(event);
    queue?.push(event);
    wake?.();
  };
  const run = start({ emit, signal });
  const end = (): void => {
    ended = true;
    wake?.();
  };
  run.then(end, end);

  async function* events(): AsyncGenerator<ProgressEvent> {
    queue ??= [];
    for (;;) {
      const taken: readonly ProgressEvent[] = queue.splice(0);
      yield* taken;
      if (taken.length > 0) continue;
      if (ended) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  return { run, events, cancel: (reason) => cancelled.abort(reason) };
}
