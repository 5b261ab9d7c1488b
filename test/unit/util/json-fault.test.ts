import { describe, expect, it } from 'vitest';
import { offsetOfValue, readJsonFault } from '../../../src/util/json-fault.ts';

describe('offsetOfValue()', () => {
  const text = '{ "a": [1, {"b": "x]", "a": {}}, true], "c\\u0061": [] }';

  it.each<[(string | number)[], string]>([
    [[], '{ "a"'],
    [['a'], '[1'],
    [['a', 0], '1'],
    [['a', 1, 'b'], '"x]"'],
    [['a', 1, 'a'], '{}'],
    [['a', 2], 'true'],
    [['ca'], '[] }'],
    // What is not there: what would hold it.
    [['a', 1, 'none'], '{"b"'],
    [['a', 7], '[1'],
  ])('finds %j', (path, start) => {
    expect(text.slice(offsetOfValue(text, path)).startsWith(start)).toBe(true);
  });
});

describe('readJsonFault()', () => {
  it('tells the place', () => {
    const text = '{ "a": 1,, }';
    const fault = (() => {
      try {
        return JSON.parse(text);
      } catch (error) {
        return readJsonFault(error as Error, text);
      }
    })();
    expect(fault).toMatchObject({ why: expect.stringContaining('Expected'), offset: 9 });
  });
});
