export interface ChangeCollector {
  add(path: string): void;
  /** Resolves once something has changed and it is quiet, or has not been quiet for long; rejects never. */
  settled(signal: AbortSignal): Promise<void>;
  /** What has changed, each once, in the order of the first event; empties the collector. */
  take(): readonly string[];
  readonly size: number;
}

export interface CollectorOptions {
  /** How long nothing may happen before a change counts as complete, ms. */
  readonly quietMs: number;
  /** Changes that go on and on are taken after that time, ms. */
  readonly maxWaitMs: number;
}

/** Gathers the events of a save, of an editor or of a checkout into one change. */
export function createChangeCollector({ quietMs, maxWaitMs }: CollectorOptions): ChangeCollector {
  const paths = new Set<string>();
  let firstAt = 0;
  let lastAt = 0;
  const waiting = new Set<() => void>();

  return {
    add(path) {
      lastAt = performance.now();
      if (paths.size === 0) firstAt = lastAt;
      paths.add(path);
      for (const look of [...waiting]) look();
    },
    settled(signal) {
      return new Promise((resolve) => {
        let timer: NodeJS.Timeout | undefined;
        const end = (): void => {
          clearTimeout(timer);
          timer = undefined;
          waiting.delete(look);
          signal.removeEventListener('abort', end);
          resolve();
        };
        const look = (): void => {
          if (!signal.aborted && (paths.size === 0 || timer !== undefined)) return;
          const now = performance.now();
          const due = Math.min(lastAt + quietMs, firstAt + maxWaitMs);
          if (signal.aborted || now >= due) end();
          else {
            timer = setTimeout(() => {
              timer = undefined;
              look();
            }, due - now);
          }
        };
        waiting.add(look);
        signal.addEventListener('abort', end, { once: true });
        look();
      });
    },
    take() {
      const taken = [...paths];
      paths.clear();
      return taken;
    },
    get size() {
      return paths.size;
    },
  };
}
