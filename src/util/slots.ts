import { cancelledError, throwIfAborted } from '../errors/error.ts';

/** A limit on things done at once; first come, first served. */
export interface Slots {
  /** Waits for a place; call the result (once or more) to give it back. @throws CANCELLED */
  take(signal: AbortSignal): Promise<() => void>;
}

export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];
  const makeRelease = (): (() => void) => {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    };
  };
  return {
    async take(signal) {
      throwIfAborted(signal);
      if (free > 0) {
        free--;
        return makeRelease();
      }
      await new Promise<void>((resolve, reject) => {
        const wake = (): void => {
          signal.removeEventListener('abort', leave);
          resolve();
        };
        const leave = (): void => {
          waiting.splice(waiting.indexOf(wake), 1);
          reject(cancelledError(signal));
        };
        waiting.push(wake);
        signal.addEventListener('abort', leave, { once: true });
      });
      return makeRelease();
    },
  };
}
