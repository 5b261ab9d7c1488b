import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work that can stop now and then, so that others get their turn: screens, signals. */
export type InTurns<T> = Generator<void, T, void>;

/** Does all of it now. */
export function runAtOnce<T>(work: InTurns<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** Does it a turn at a time. */
export async function runInTurns<T>(work: InTurns<T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    await nextTurn();
  }
}
