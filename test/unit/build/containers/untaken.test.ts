import { describe, expect, it } from 'vitest';
import { createUntakenOutput } from '../../../../src/build/containers/untaken.ts';

describe('createUntakenOutput()', () => {
  it('until() settles when output is taken', async () => {
    const untaken = createUntakenOutput();
    const reader = Promise.withResolvers<void>();
    const wait = untaken.until(reader.promise);
    expect(untaken.isHeld()).toBe(true);
    reader.resolve();
    await wait;
    expect(untaken.isHeld()).toBe(false);
  });

  it('letGo() ends the waits of now, and none that begins later', async () => {
    const untaken = createUntakenOutput();
    const reader = Promise.withResolvers<void>();
    const [first, second] = [untaken.until(reader.promise), untaken.until(reader.promise)];
    untaken.letGo();
    await Promise.all([first, second]);
    // The reader has still not taken it.
    expect(untaken.isHeld()).toBe(true);
    const later = untaken.until(reader.promise).then(() => 'taken');
    expect(await Promise.race([later, Promise.resolve('held')])).toBe('held');
    reader.resolve();
    expect(await later).toBe('taken');
    expect(untaken.isHeld()).toBe(false);
  });

  it('until() fails when the reader does', async () => {
    const untaken = createUntakenOutput();
    await expect(untaken.until(Promise.reject(new Error('gone')))).rejects.toThrow('gone');
    expect(untaken.isHeld()).toBe(false);
  });
});
