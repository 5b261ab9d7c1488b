import type { Descriptor, Digest } from '../../image/types.ts';
import type { EventSink } from '../../solver/types.ts';
import { fetchVertex } from '../internal-steps.ts';

/** Told how many bytes of a layer have come. */
export type FetchReport = (descriptor: Descriptor, bytes: number) => void;

/** Shows layers that are fetched. */
export interface FetchSteps extends Disposable {
  /** Layers that are parts of one step.
   * @param name what is fetched, for people
   * @param id tells two of that name apart */
  step(name: string, id?: string): FetchReport;
}

export interface FetchStepsDeps {
  readonly emit: EventSink;
  readonly now: () => number;
  /** Calls back soon; gives a function that cancels it. */
  readonly soon: (callback: () => void) => () => void;
}

/** Small layers have come before large ones are asked for, which makes no two steps of it. */
const IDLE_MS = 250;

export function afterIdle(callback: () => void): () => void {
  const timer = setTimeout(callback, IDLE_MS);
  timer.unref();
  return () => clearTimeout(timer);
}

/** A step ends when all has come and nothing is asked for, and begins anew when more is. */
export function createFetchSteps({ emit, now, soon }: FetchStepsDeps): FetchSteps {
  const ends = new Set<() => void>();

  function create(name: string, id: string): FetchReport {
    const vertex = fetchVertex(`fetching ${id}`);
    const open = new Set<Digest>();
    let isKnown = false;
    let cancel: (() => void) | undefined;
    const end = (): void => {
      cancel?.();
      ends.delete(end);
      const how = open.size === 0 ? {} : { cancelled: true };
      open.clear();
      emit({ kind: 'completed', time: now(), vertex, ...how });
    };
    return ({ digest, size: total }, current) => {
      const done = current >= total;
      cancel?.();
      if (!isKnown) emit({ kind: 'vertex', time: now(), vertex, name: `fetching ${name}` });
      if (!ends.has(end)) emit({ kind: 'started', time: now(), vertex });
      isKnown = true;
      ends.add(end);
      open.add(digest);
      emit({ kind: 'status', time: now(), vertex, id: digest, current, total, ...(done ? { done } : {}) });
      if (done) open.delete(digest);
      if (open.size === 0) cancel = soon(end);
    };
  }

  return {
    step: (name, id = name) => create(name, id),
    [Symbol.dispose]() {
      for (const end of ends) end();
    },
  };
}
