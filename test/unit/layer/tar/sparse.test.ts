import { describe, expect, it } from 'vitest';
import { createSparseExpander, type SparseHeader } from '../../../../src/layer/tar/sparse.ts';

function expand(header: SparseHeader, stored: string, chunkSize = stored.length): string {
  let text = '';
  const expander = createSparseExpander(header, (bytes) => {
    text += bytes.toString('latin1').replaceAll('\0', '.');
  });
  for (let at = 0; at < stored.length; at += chunkSize) {
    expander.push(Buffer.from(stored.slice(at, at + chunkSize)));
  }
  expander.end();
  return text;
}

const map = (size: number, ...numbers: readonly (readonly [number, number])[]): SparseHeader => ({
  size,
  map: { size, parts: numbers.map(([offset, length]) => ({ offset, length })) },
});

const invalid = expect.objectContaining({ code: 'LAYER_INVALID' });

describe('createSparseExpander()', () => {
  it.each([1, 2, 6])('puts parts where they belong when they come in pieces of %i bytes', (size) => {
    expect(expand(map(12, [2, 3], [7, 3], [12, 0]), 'abcdef', size)).toBe('..abc..def..');
  });

  it('gives zeros alone when nothing is stored', () => {
    expect(expand(map(5, [5, 0]), '')).toBe('.....');
  });

  it.each([1, 100, 1000])('finds the map before the content when it is not in the header (%i)', (size) => {
    const stored = `${'2\n1\n2\n5\n1\n'.padEnd(512, '\0')}abc`;
    expect(expand({ size: 8 }, stored, size)).toBe('.ab..c..');
  });

  it.each<[string, SparseHeader, string]>([
    ['parts overlap', map(9, [0, 3], [2, 3]), 'abcdef'],
    ['a part leads past the end', map(4, [2, 3]), 'abc'],
    ['more is stored than the map tells', map(9, [0, 3]), 'abcdef'],
    ['less is stored than the map tells', map(9, [0, 3]), 'ab'],
    ['the map is no map', { size: 9 }, 'x\n'.padEnd(512, '\0')],
    ['the map is cut', { size: 9 }, '5\n1\n'],
  ])('throws LAYER_INVALID when %s', (_, header, stored) => {
    expect(() => expand(header, stored)).toThrow(invalid);
  });
});
