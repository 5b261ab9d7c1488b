import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createChangeCollector } from '../../../src/watch/change-collector.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('createChangeCollector()', () => {
  const open = () => {
    const collector = createChangeCollector({ quietMs: 50, maxWaitMs: 200 });
    const ending = new AbortController();
    let isSettled = false;
    const done = collector.settled(ending.signal).then(() => {
      isSettled = true;
    });
    return { collector, ending, done, settled: () => isSettled };
  };

  it('waits until it is quiet', async () => {
    const { collector, settled } = open();
    await vi.advanceTimersByTimeAsync(500);
    expect(settled()).toBe(false);
    collector.add('a');
    await vi.advanceTimersByTimeAsync(40);
    collector.add('b');
    collector.add('a');
    await vi.advanceTimersByTimeAsync(45);
    expect(settled()).toBe(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(settled()).toBe(true);
    expect(collector.take()).toEqual(['a', 'b']);
    expect(collector.size).toBe(0);
  });

  it('does not wait for ever when changes go on', async () => {
    const { collector, settled } = open();
    for (let i = 0; i < 9; i++) {
      collector.add('log');
      await vi.advanceTimersByTimeAsync(20);
    }
    expect(settled()).toBe(false);
    collector.add('log');
    await vi.advanceTimersByTimeAsync(25);
    expect(settled()).toBe(true);
  });

  it('waits for what spreads to ever new paths, up to a limit', async () => {
    const { collector, settled } = open();
    let hasBegun = false;
    void collector.begun(new AbortController().signal).then(() => {
      hasBegun = true;
    });
    for (let i = 0; i < 50; i++) {
      collector.add(`f${i}`);
      await vi.advanceTimersByTimeAsync(20);
    }
    expect({ hasBegun, settled: settled() }).toEqual({ hasBegun: true, settled: false });
    for (let i = 50; i < 100; i++) {
      collector.add(`f${i}`);
      await vi.advanceTimersByTimeAsync(20);
    }
    expect(settled()).toBe(true);
    expect(collector.size).toBe(100);
  });

  it('ends with its signal', async () => {
    const { collector, ending, done } = open();
    ending.abort();
    await done;
    expect(collector.size).toBe(0);
  });

  it('settles at once when it has been quiet since the change', async () => {
    const collector = createChangeCollector({ quietMs: 50, maxWaitMs: 200 });
    collector.add('a');
    await vi.advanceTimersByTimeAsync(60);
    await collector.settled(new AbortController().signal);
    expect(collector.take()).toEqual(['a']);
  });
});
