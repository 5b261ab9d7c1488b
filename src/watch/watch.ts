import { withCallerEvents } from '../build/caller-events.ts';
import { isNormalUser } from '../build/namespace/is-normal-user.ts';
import { normaliseOptions } from '../build/normalise.ts';
import type { BuildOptions } from '../build/options.ts';
import { createBuildSession } from '../build/session/session.ts';
import type { EventSink } from '../solver/types.ts';
import type { WatchCycle } from './types.ts';
import { watchBuilds } from './watch-builds.ts';

/** A watch that runs: iterate it for its builds, each of which goes to one loop only. It ends with `close()`, with the signal, or with the loop. */
export interface Watch extends AsyncIterable<WatchCycle> {
  close(): Promise<void>;
}

/**
 * Builds, and builds again when a file that the image depends on is saved. A build that is stale is given up; one that
 * fails leaves the last good image as it is.
 *
 * @throws from the loop: an OcibuildError that stops the first build before it has read anything, or what `onEvent` threw
 * @example
 * for await (const { result, error } of watch({ context: '.', tags: ['app:dev'] })) {
 *   console.log(result?.digest ?? error);
 * }
 */
export function watch(options: BuildOptions): Watch {
  const ending = new AbortController();
  const signal =
    options.signal === undefined ? ending.signal : AbortSignal.any([options.signal, ending.signal]);
  const cycles: WatchCycle[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  let isOver = false;
  const start = async (how: { readonly signal: AbortSignal; readonly emit: EventSink }): Promise<void> => {
    const onCycle = (cycle: WatchCycle): void => {
      // A process that does the work may end a build before it hears that it should not.
      if (how.signal.aborted) return;
      cycles.push(cycle);
      wake();
    };
    const here = async (): Promise<void> => {
      await using session = createBuildSession(options);
      await watchBuilds(session, {
        signal: how.signal,
        onBuild: async () => how.emit,
        async onEnd(cycle) {
          if (cycle !== undefined) onCycle(cycle);
        },
        onNotice: () => undefined,
      });
    };
    if (!isNormalUser()) return here();
    // Wrong options may be such that cannot be sent.
    normaliseOptions(options);
    const { insideOrHere } = await import('../build/namespace/as-user.ts');
    // What is watched may have a RUN later.
    await insideOrHere('watch', { ...options, signal: how.signal, onEvent: how.emit }, { here, onCycle });
  };
  const run = withCallerEvents({ signal, onEvent: options.onEvent }, start).finally(() => {
    isOver = true;
    wake();
  });
  run.catch(() => undefined);
  const close = async (): Promise<void> => {
    ending.abort();
    await run.catch(() => undefined);
  };
  return {
    close,
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          yield* cycles.splice(0);
          if (cycles.length > 0) continue;
          if (isOver) {
            await run;
            return;
          }
          await new Promise<void>((resolve) => {
            waiting.add(resolve);
          });
        }
      } finally {
        await close();
      }
    },
  };
}
