import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { watch } from 'chokidar';
import type { WatchPlan } from './plan.ts';

export interface FileWatcher {
  /** Resolves when what the plan names is listened to. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

export interface FileWatcherEvents {
  /** Something may have happened to a path that concerns the plan. */
  onChange(path: string): void;
  /** So much happened at once that something may not have been told. */
  onOverflow(): void;
  /** The watcher hears less than it should. */
  onError(error: Error): void;
}

/** Listens to the directories of a plan. */
export type OpenFileWatcher = (plan: WatchPlan, events: FileWatcherEvents) => FileWatcher;

/**
 * Gives what opens watchers. What they tell is only a hint: it may be too much, too late or nothing at all.
 * @param queued events that the system keeps for this process; all its watchers share a queue, which is made once
 */
export function fileWatchers(queued: number = queuedEvents()): OpenFileWatcher {
  return (plan, events) => watchFiles(plan, events, queued / 2);
}

function watchFiles(
  plan: WatchPlan,
  { onChange, onOverflow, onError }: FileWatcherEvents,
  many: number,
): FileWatcher {
  const watcher = watch([...plan.roots], {
    ignored: (path, stats) => plan.ignored(path, stats?.isDirectory()),
    ignoreInitial: true,
    followSymlinks: false,
    ignorePermissionErrors: true,
    // Saves that replace a file are put together by us, without a wait of 100 ms.
    atomic: false,
  });
  const tell = (path: string): void => {
    if (plan.concerns(path)) onChange(plan.named(path));
  };
  watcher.on('all', (_event, path) => tell(path));
  let heard = 0;
  // Changes of mode alone are told here only.
  watcher.on('raw', (_event, path, details) => {
    // All that was queued comes in one turn of the loop, and what came when the queue was full never does: Node does not
    // tell. Events of directories that are gone count in the queue and are not told either.
    if (heard++ === 0) {
      setImmediate(() => {
        if (heard >= many) onOverflow();
        heard = 0;
      });
    }
    const { watchedPath } = details as { watchedPath?: string };
    if (typeof path !== 'string' || watchedPath === undefined) return;
    const inside = join(watchedPath, path);
    // A directory that is moved or removed is told with its own name, as if it stood in itself.
    tell(path === basename(watchedPath) && !existsSync(inside) ? watchedPath : inside);
  });
  watcher.on('error', (error) => onError(error instanceof Error ? error : new Error(String(error))));
  const ready = new Promise<void>((done) => watcher.once('ready', () => done()));
  return { ready, close: () => watcher.close() };
}

/** How many events an inotify instance that is made now holds before it drops more. @see inotify(7) */
function queuedEvents(): number {
  try {
    return (
      Number.parseInt(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'), 10) || DEFAULT_QUEUE
    );
  } catch {
    return DEFAULT_QUEUE;
  }
}

const DEFAULT_QUEUE = 16_384;
