import { describe, expect, it } from 'vitest';
import { didYouMean, suggest } from '../../../src/errors/suggest.ts';

const INSTRUCTIONS = ['ADD', 'ARG', 'COPY', 'CMD', 'ENTRYPOINT', 'FROM', 'RUN', 'WORKDIR'];

describe('suggest()', () => {
  it.each([
    ['FORM', 'FROM'],
    ['copu', 'COPY'],
    ['WORKDRI', 'WORKDIR'],
    ['ENTRYPONT', 'ENTRYPOINT'],
    ['RUM', 'RUN'],
    ['run', 'RUN'],
  ])('suggest() finds the nearest word when "%s" is near "%s"', (word, expected) => {
    expect(suggest(word, INSTRUCTIONS)).toBe(expected);
  });

  it.each([['BANANA'], ['X'], [''], ['XYZ'], ['CROP'], ['ARMOR'], ['WORKDIRECTORY']])(
    'suggest() gives nothing when "%s" is far from all',
    (word) => {
      expect(suggest(word, INSTRUCTIONS)).toBeUndefined();
    },
  );

  it('suggest() keeps the first of equally near words when several match', () => {
    expect(suggest('tagx', ['tags', 'tagy', 'tag'])).toBe('tags');
  });

  it('didYouMean() quotes the word when there is one', () => {
    expect(didYouMean('FORM', INSTRUCTIONS)).toBe('did you mean "FROM"?');
    expect(didYouMean('BANANA', INSTRUCTIONS)).toBeUndefined();
  });
});
