import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { withCallerEvents } from '../../../src/build/caller-events.ts';
import type { EventSink, ProgressEvent } from '../../../src/solver/types.ts';

const EVENT: ProgressEvent = { kind: 'planned', time: 0, vertices: [] };

describe('withCallerEvents()', () => {
  it('stops the work and ends with what onEvent threw when the event came out of a listener', async () => {
    const mine = new RangeError('mine');
    let calls = 0;
    const onEvent: EventSink = () => {
      calls++;
      throw mine;
    };
    let stopped: unknown;
    const work = async ({ signal, emit }: { signal: AbortSignal; emit: EventSink }): Promise<void> => {
      const aborted = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => aborted.resolve());
      // Nobody above could catch it there.
      setImmediate(() => emit(EVENT));
      await aborted.promise;
      stopped = signal.reason;
      emit(EVENT);
      throw new Error('cancelled');
    };
    await expect(withCallerEvents({ onEvent }, work)).rejects.toBe(mine);
    expect([stopped, calls]).toEqual([mine, 1]);
  });

  it('ends with what onEvent threw when the work had done all it should', async () => {
    const onEvent: EventSink = () => {
      throw undefined;
    };
    const ended = withCallerEvents({ onEvent }, async ({ emit }) => {
      await turn();
      emit(EVENT);
      return 'done';
    });
    await expect(ended).rejects.toBeUndefined();
  });

  it('gives the result, and the signal of the caller, when nothing was thrown', async () => {
    const seen: ProgressEvent[] = [];
    const given = {
      signal: AbortSignal.abort('enough'),
      onEvent: (event: ProgressEvent) => seen.push(event),
    };
    const reason = await withCallerEvents(given, async (how) => {
      how.emit(EVENT);
      return how.signal.reason as unknown;
    });
    expect([reason, seen]).toEqual(['enough', [EVENT]]);
  });
});
