import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRunningDigest } from '../../../src/layer/running-digest.ts';
import { sha256 } from '../../support/layers.ts';

describe('createRunningDigest()', () => {
  it.each([true, false])('gives the SHA-256 of all data when states are %s', async (states) => {
    const digest = createRunningDigest({ states });
    // Not waited for: calls count in their order.
    void digest.update(Buffer.from('hello '));
    void digest.update(Buffer.from('world'));
    expect(await digest.digest()).toBe(sha256('hello world'));
  });

  it('goes on from a state when the data before it is not given again', async () => {
    const [head, tail] = [randomBytes(512 * 9), randomBytes(777)];
    const first = createRunningDigest({ states: true });
    const state = await first.update(head);
    expect(state).toMatch(/^[0-9a-f]{64}$/);
    const second = createRunningDigest({ states: true });
    second.resume(state!, head.length);
    void second.update(tail);
    expect(await second.digest()).toBe(sha256(Buffer.concat([head, tail])));
  });

  it('gives the state behind each piece when more are given at once', async () => {
    const pieces = Array.from({ length: 20 }, (_, i) => randomBytes(512 * (i + 1)));
    const all = createRunningDigest({ states: true });
    const states = await Promise.all(pieces.map((piece) => all.update(piece)));
    const resumed = createRunningDigest({ states: true });
    resumed.resume(states[9]!, 512 * 55);
    for (const piece of pieces.slice(10)) void resumed.update(piece);
    expect(await resumed.digest()).toBe(sha256(Buffer.concat(pieces)));
  });

  it('counts beyond 512 MiB when it goes on from there', async () => {
    // The state behind 513 MiB of "z", and what sha256sum says of them.
    const state = '7466bf16316a283c5cdcf92084492fd4c6e903f623d992d0a728b2e009ef3045';
    const resumed = createRunningDigest({ states: true });
    resumed.resume(state, 513 << 20);
    expect(await resumed.digest()).toBe(
      'sha256:b87b14e7b00461064b4fc539ef30e5ef5a9fced2f5e38a7b5aa200e794f084f2',
    );
  });

  it('refuses a state when it is damaged or not at a block', async () => {
    const digest = createRunningDigest({ states: true });
    expect(() => digest.resume('xyz', 64)).toThrow(RangeError);
    expect(() => digest.resume('0'.repeat(64), 65)).toThrow(RangeError);
    expect(await digest.update(Buffer.from('x'))).toBeUndefined();
  });
});
