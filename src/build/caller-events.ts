import type { EventSink, ProgressEvent } from '../solver/types.ts';

export interface CallerEvents {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: EventSink | undefined;
}

/**
 * Does work whose events a caller's function takes. What that throws would come out wherever the event was made, in a
 * listener of a worker even as the end of the whole program: so it stops the work, and is what the work ends with. It is
 * not called again.
 */
export async function withCallerEvents<T>(
  { signal, onEvent }: CallerEvents,
  work: (how: { readonly signal: AbortSignal; readonly emit: EventSink }) => Promise<T>,
): Promise<T> {
  const failed = new AbortController();
  const thrown: { readonly error: unknown }[] = [];
  const emit = (event: ProgressEvent): void => {
    if (thrown.length > 0) return;
    try {
      onEvent?.(event);
    } catch (error) {
      thrown.push({ error });
      failed.abort(error);
    }
  };
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const result = work({ signal: either, emit });
  await result.catch(() => undefined);
  for (const { error } of thrown) throw error;
  return result;
}
