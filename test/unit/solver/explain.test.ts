import { describe, expect, it } from 'vitest';
import { explainMiss, hiddenValue } from '../../../src/solver/explain.ts';

describe('explainMiss()', () => {
  const after = [
    { name: 'arg VERSION', value: '2' },
    { name: 'env A', value: 'same' },
  ];

  it('says what changed since a record of another machine, without its values', () => {
    const before = [
      { name: 'arg VERSION', value: hiddenValue('1') },
      { name: 'env A', value: hiddenValue('same') },
    ];
    expect(explainMiss(before, after, false)).toEqual(['arg VERSION changed']);
  });
});

describe('hiddenValue()', () => {
  it('hides a value once', () => {
    const hidden = hiddenValue('hunter2');
    expect(hidden).toMatch(/^#[0-9a-f]{16}$/);
    expect(hiddenValue(hidden)).toBe(hidden);
    expect(hiddenValue('hunter3')).not.toBe(hidden);
  });
});
