/** Waits for a reader to take output, which a program that is told to end does not share. */
export interface UntakenOutput {
  /** Settles with `taken`, or when it is let go. */
  until(taken: Promise<void>): Promise<void>;
  /** Ends the waits of now. */
  letGo(): void;
  /** True while something waits. */
  isHeld(): boolean;
}

export function createUntakenOutput(): UntakenOutput {
  // Not a race with one long promise: that would hold on to every wait there ever was.
  const waiting = new Set<() => void>();
  return {
    until: (taken) =>
      new Promise<void>((resolve, reject) => {
        waiting.add(resolve);
        taken.finally(() => waiting.delete(resolve)).then(resolve, reject);
      }),
    letGo() {
      for (const resolve of waiting) resolve();
    },
    isHeld: () => waiting.size > 0,
  };
}
