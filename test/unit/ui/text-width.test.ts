import { describe, expect, it } from 'vitest';
import { clip, fitTo, widthOf } from '../../../src/ui/text-width.ts';

const RED = '\u001b[31m';
const RESET = '\u001b[0m';

describe('widthOf()', () => {
  it.each([
    ['plain', 5],
    ['漢字', 4],
    ['e\u0301', 1],
    ['👩‍👩‍👧', 2],
    ['✅', 2],
    ['✓', 1],
    [`${RED}red${RESET}`, 3],
    ['a\tb', 9],
  ])('widthOf() counts columns when the text is %j', (text, columns) => {
    expect(widthOf(text)).toBe(columns);
  });
});

describe('clip()', () => {
  it('clip() cuts with an ellipsis in the last column when the text is too wide', () => {
    expect(clip('abcdef', 4)).toBe('abc…');
    expect(clip('abcd', 4)).toBe('abcd');
    expect(clip('abcdef', 4, { ellipsis: '...' })).toBe('a...');
  });

  it('clip() never halves a wide character when the border falls into it', () => {
    expect(clip('漢字漢', 4)).toBe('漢…');
    expect(widthOf(clip('漢字漢', 5))).toBe(5);
  });

  it('clip() ends a colour when the text is cut inside of it', () => {
    expect(clip(`${RED}abcdef`, 4)).toBe(`${RED}abc${RESET}…`);
    expect(clip(`${RED}abc`, 4)).toBe(`${RED}abc${RESET}`);
  });

  it('fitTo() fills with blanks when the text is narrow', () => {
    expect(fitTo('漢', 4)).toBe('漢  ');
  });
});
