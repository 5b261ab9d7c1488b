import { existsSync } from 'node:fs';
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
  /** The watcher hears less than it should. */
  onError(error: Error): void;
}

/** Listens to the directories of a plan. What it tells is only a hint: it may tell too much, too late or not at all. */
export function watchFiles(plan: WatchPlan, { onChange, onError }: FileWatcherEvents): FileWatcher {
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
  // Changes of mode alone are told here only.
  watcher.on('raw', (_event, path, details) => {
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
