import type { ProgressEvent } from '../solver/types.ts';
import { normaliseOptions } from './normalise.ts';
import type { BuildOptions, BuildResult } from './options.ts';
import { type BuildRun, runBuild } from './run-build.ts';

/**
 * A running build: await it for the result, iterate it for the events. Events are kept from the start until the
 * first iterator takes them.
 */
export interface Build extends PromiseLike<BuildResult>, AsyncIterable<ProgressEvent> {
  readonly result: Promise<BuildResult>;
  /** Stops the build; `result` rejects with CANCELLED after everything has stopped. */
  cancel(reason?: unknown): void;
}

/**
 * Builds an image from a Dockerfile.
 *
 * @throws OcibuildError through `result`; its `code` says what went wrong, `source` where in the Dockerfile
 * @example
 * const job = build({ context: '.', tags: ['app:v0'] });
 * for await (const event of job) if (event.kind === 'cached') console.log('cached', event.vertex);
 * console.log((await job).digest);
 */
export function build(options: BuildOptions): Build {
  const { run, events, cancel } = startBuild(options);
  const result = run.then((done) => done.result);
  result.catch(() => undefined);
  return {
    result,
    cancel,
    // biome-ignore lint/suspicious/noThenProperty: a build is awaited like the promise of its result
    then: (onResult, onError) => result.then(onResult, onError),
    [Symbol.asyncIterator]: () => events(),
  };
}

/** What the command line needs beside the result: the trace for its record of the build. */
export function startBuild(options: BuildOptions): {
  readonly run: Promise<BuildRun>;
  readonly events: () => AsyncIterator<ProgressEvent>;
  readonly cancel: (reason?: unknown) => void;
} {
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
  const run = (async () => runBuild(normaliseOptions(options), { emit, signal }))();
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
