import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../../src/util/go-duration.ts';

describe('parseDuration()', () => {
  it.each([
    ['0', 0],
    ['1h2m3.5s', 3_723_500_000_000],
    ['.5s', 500_000_000],
    ['1.s', 1_000_000_000],
    ['-1ms', -1_000_000],
  ])('reads %s as Go does', (text, nanoseconds) => {
    expect(parseDuration(text)).toBe(nanoseconds);
  });

  it.each(['', '1', '.s', '1.2.3s', '1x', '9'.repeat(100_000)])(
    'gives undefined when it is none (%#)',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe('formatDuration()', () => {
  it('writes what Go writes', () => {
    expect([0, 1500, 500_000_000, 90_000_000_000].map(formatDuration)).toEqual([
      '0s',
      '1.5µs',
      '500ms',
      '1m30s',
    ]);
  });
});
