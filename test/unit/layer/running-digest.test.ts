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
    // The state behind 513 MiB of "z", and what sha256sum says of them.
    const state = '7466bf16316a283c5cdcf92084492fd4c6e903f623d992d0a728b2e009ef3045';
    const resumed = createRunningDigest({ states: true });
    expect(resumed.resume(state, 513 << 20)).toBe(true);
    expect(resumed.digest()).toBe('sha256:b87b14e7b00461064b4fc539ef30e5ef5a9fced2f5e38a7b5aa200e794f084f2');
  });

  it('refuses a state when it is damaged or not at a block', () => {
    const digest = createRunningDigest({ states: true });
    expect(digest.resume('xyz', 64)).toBe(false);
    expect(digest.resume('0'.repeat(64), 65)).toBe(false);
    digest.update(Buffer.from('x'));
    expect(digest.state()).toBeUndefined();
  });
});
