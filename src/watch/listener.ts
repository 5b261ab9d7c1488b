import type { BuildInputs } from '../build/session/types.ts';
import {
  type FileWatcher,
  type FileWatcherEvents,
  fileWatchers,
  type OpenFileWatcher,
} from './file-watcher.ts';
import { planWatch, type WatchPlan } from './plan.ts';

/** Listens to what the latest build reads. */
export interface Listener {
  /** From now on these inputs count; without a change nothing is set up anew, unless `anew`. Tells whether it was. */
  follow(inputs: BuildInputs, anew?: boolean): boolean;
  plan(): WatchPlan | undefined;
  /** True once everything is listened to that can be; false where that takes too long. */
  ready(): Promise<boolean>;
  /** False once changes have to be looked for. */
  hears(): boolean;
  close(): Promise<void>;
}

export interface ListenerOptions extends FileWatcherEvents {
  readonly more: readonly string[];
  readonly aside: readonly string[];
  readonly written: () => readonly string[];
  readonly open?: OpenFileWatcher;
}

/** Watchers that a tree needs more of than the system gives fail together: the first error is told, then none is tried. */
export function createListener({
  more,
  aside,
  written,
  open = fileWatchers(),
  ...events
}: ListenerOptions): Listener {
  let plan: WatchPlan | undefined;
  let watcher: FileWatcher | undefined;
  let isDeaf = false;
  const closing = new Set<Promise<void>>();
  let end = (): void => undefined;
  const ending = new Promise<void>((resolve) => {
    end = resolve;
  });

  function drop(): void {
    const closed = watcher?.close();
    watcher = undefined;
    if (closed === undefined) return;
    closing.add(closed);
    closed.finally(() => closing.delete(closed)).catch(() => undefined);
  }

  return {
    follow(now, anew = false) {
      const next = planWatch({ ...now, more, aside, written: written() });
      if (!anew && plan?.key === next.key) return false;
      plan = next;
      if (isDeaf) return false;
      const before = watcher;
      watcher = undefined;
      const opened = open(plan, {
        onChange: events.onChange,
        onOverflow: events.onOverflow,
        onError(error) {
          if (isDeaf) return;
          isDeaf = true;
          drop();
          events.onError(error);
        },
      });
      // It may have failed already.
      watcher = opened;
      if (isDeaf) drop();
      // The old one goes when the new one listens, so that nothing falls in between.
      if (before !== undefined) {
        const closed = Promise.race([opened.ready, delay(READY_MS), ending]).then(() => before.close());
        closing.add(closed);
        closed.finally(() => closing.delete(closed)).catch(() => undefined);
      }
      return true;
    },
    plan: () => plan,
    ready: async () =>
      watcher === undefined ||
      Promise.race([watcher.ready.then(() => true), delay(READY_MS).then(() => false)]),
    hears: () => !isDeaf,
    async close() {
      isDeaf = true;
      end();
      drop();
      await Promise.allSettled(closing);
    },
  };
}

/** A directory that is taken away at that moment, or written to all the time, may never be ready. */
const READY_MS = 2000;

function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms).unref());
}
