export interface ChangeCollector {
  add(path: string): void;
  /** Resolves once something has changed and it is quiet, or has not been quiet for long; rejects never. */
  begun(signal: AbortSignal): Promise<void>;
  /** The same, but waits longer for a change that reaches ever new paths: a checkout, an installation. */
  settled(signal: AbortSignal, quietMs?: number): Promise<void>;
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

/** How often `maxWaitMs` passes before a change that spreads is taken as far as it got. */
const SPREADING = 10;

/** Gathers the events of a save, of an editor or of a checkout into one change. */
export function createChangeCollector(options: CollectorOptions): ChangeCollector {
  const { maxWaitMs } = options;
  const paths = new Set<string>();
  let firstAt = 0;
  let lastAt = 0;
  let newAt = 0;
  const waiting = new Set<() => void>();

  const wait = (signal: AbortSignal, dueAt: () => number): Promise<void> =>
    new Promise((resolve) => {
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
        const due = dueAt();
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

  return {
    add(path) {
      lastAt = performance.now();
      if (paths.size === 0) firstAt = lastAt;
      if (!paths.has(path)) newAt = lastAt;
      paths.add(path);
      for (const look of [...waiting]) look();
    },
    begun: (signal) => wait(signal, () => Math.min(lastAt + options.quietMs, firstAt + maxWaitMs)),
    settled: (signal, quietMs = options.quietMs) =>
      wait(signal, () => {
        const spread = Math.min(newAt + quietMs, firstAt + SPREADING * maxWaitMs);
        return Math.min(lastAt + quietMs, Math.max(firstAt + maxWaitMs, spread));
      }),
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
