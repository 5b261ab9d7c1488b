import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Channel, createChannel, type Handlers } from '../../../../src/build/namespace/channel.ts';
import { OcibuildError } from '../../../../src/errors/error.ts';

/** Two channels that are joined as by a pipe. */
function pair(here: Handlers, there: Handlers): [Channel, Channel] {
  const a: Channel = createChannel((message) => {
    const copy = structuredClone(message);
    queueMicrotask(() => b.receive(copy));
  }, here);
  const b: Channel = createChannel((message) => {
    const copy = structuredClone(message);
    queueMicrotask(() => a.receive(copy));
  }, there);
  return [a, b];
}

describe('createChannel()', () => {
  it('call() gives what the function of the other side gives or throws', async () => {
    const failure = new OcibuildError('USAGE_INVALID', 'Cannot do that');
    const [channel] = pair(
      { name: () => 'caller' },
      {
        twice: async (value: number) => 2 * value,
        fail() {
          throw failure;
        },
      },
    );
    await expect(channel.call('twice', 21)).resolves.toBe(42);
    await expect(channel.call('fail')).rejects.toThrow(failure);
  });

  it('call() works in both directions at once, in any order of answers', async () => {
    const slow = Promise.withResolvers<string>();
    const [channel, other] = pair({ back: () => 'back' }, { slow: () => slow.promise, fast: () => 'fast' });
    const first = channel.call('slow');
    await expect(channel.call('fast')).resolves.toBe('fast');
    await expect(other.call('back')).resolves.toBe('back');
    slow.resolve('slow');
    await expect(first).resolves.toBe('slow');
  });

  it('tell() keeps the order', async () => {
    const got: number[] = [];
    const [channel] = pair({}, { take: (value: number) => got.push(value) });
    for (const value of [1, 2, 3]) channel.tell('take', value);
    await turn();
    expect(got).toEqual([1, 2, 3]);
  });

  it('call() rejects when a value cannot be cloned, and whatever waits when the other side is gone', async () => {
    const [channel] = pair({}, { wait: () => new Promise(() => undefined), give: () => () => 1 });
    await expect(channel.call('wait', () => 1)).rejects.toMatchObject({ name: 'DataCloneError' });
    await expect(channel.call('give')).rejects.toMatchObject({ name: 'DataCloneError' });
    const waiting = channel.call('wait');
    const gone = new Error('gone');
    channel.end(gone);
    await expect(waiting).rejects.toBe(gone);
    await expect(channel.call('wait')).rejects.toBe(gone);
  });
});
