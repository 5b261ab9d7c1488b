import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRunningDigest } from '../../../src/layer/running-digest.ts';
import { sha256 } from '../../support/layers.ts';

describe('createRunningDigest()', () => {
  it.each([true, false])('gives the SHA-256 of all data when states are %s', (states) => {
    const digest = createRunningDigest({ states });
    digest.update(Buffer.from('hello '));
    digest.update(Buffer.from('world'));
    expect(digest.digest()).toBe(sha256('hello world'));
  });

  it('goes on from a state when the data before it is not given again', () => {
    const [head, tail] = [randomBytes(512 * 9), randomBytes(777)];
    const first = createRunningDigest({ states: true });
    first.update(head);
    const state = first.state();
    expect(state).toMatch(/^[0-9a-f]{64}$/);
    const second = createRunningDigest({ states: true });
    expect(second.resume(state!, head.length)).toBe(true);
    second.update(tail);
    expect(second.digest()).toBe(sha256(Buffer.concat([head, tail])));
  });

  it('counts beyond 512 MiB when it goes on from there', () => {
    const block = Buffer.alloc(1 << 20, 'z');
    const whole = createRunningDigest({ states: true });
    for (let i = 0; i < 513; i++) whole.update(block);
    const resumed = createRunningDigest({ states: true });
    resumed.resume(whole.state()!, 513 << 20);
    expect(resumed.digest()).toBe(whole.digest());
  });

  it('refuses a state when it is damaged or not at a block', () => {
    const digest = createRunningDigest({ states: true });
    expect(digest.resume('xyz', 64)).toBe(false);
    expect(digest.resume('0'.repeat(64), 65)).toBe(false);
    digest.update(Buffer.from('x'));
    expect(digest.state()).toBeUndefined();
  });
});
