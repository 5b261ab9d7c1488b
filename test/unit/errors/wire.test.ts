import { describe, expect, it } from 'vitest';
import { isOcibuildError, MultiError, OcibuildError } from '../../../src/errors/error.ts';
import { errorFromData, errorToData } from '../../../src/errors/wire.ts';

/** As a channel between processes takes it. */
function sent(error: unknown): unknown {
  return errorFromData(structuredClone(errorToData(error)));
}

const SOURCE = {
  file: { name: 'Dockerfile', text: 'FROM a\nRUN b\n' },
  ranges: [{ start: { line: 2, column: 1 }, end: { line: 2, column: 6 } }],
  step: '2/2',
};

describe('errorFromData()', () => {
  it('errorFromData() gives the same OcibuildError when it was one', () => {
    const cause = Object.assign(new TypeError('of it'), { code: 'EPERM', path: '/p', cause: 'why' });
    const error = new OcibuildError('RUN_EXIT_NONZERO', 'Cannot run "b"', {
      ...{ hint: 'try a', source: SOURCE, details: { exitCode: 1 }, logTail: ['x', 'y'], cause },
    });
    const copy = sent(error) as OcibuildError;
    expect(copy).toBeInstanceOf(OcibuildError);
    expect(isOcibuildError(copy)).toBe(true);
    expect(copy.toJSON()).toEqual(error.toJSON());
    expect(copy).toMatchObject({ source: SOURCE, stack: error.stack, category: error.category });
    expect(Object.keys(copy)).toEqual(Object.keys(error));
    expect(copy.cause).toBeInstanceOf(TypeError);
    expect(copy.cause).toMatchObject({ message: 'of it', code: 'EPERM', path: '/p', cause: 'why' });
  });

  it('errorFromData() gives a MultiError when there were several', () => {
    const errors = [new OcibuildError('USAGE_INVALID', 'one'), new OcibuildError('INTERNAL', 'two')];
    const copy = sent(new MultiError(errors)) as MultiError;
    expect(copy).toBeInstanceOf(MultiError);
    expect(copy.message).toBe('one; two');
    expect(copy.errors.map(({ code }) => code)).toEqual(['USAGE_INVALID', 'INTERNAL']);
  });

  it.each([
    ['AbortError', new DOMException('stop', 'AbortError')],
    ['TimeoutError', Object.assign(new Error('late'), { name: 'TimeoutError' })],
    ['RangeError', new RangeError('far')],
  ])('errorFromData() keeps the name %s of an error of another kind', (name, error) => {
    const copy = sent(error) as Error;
    expect(copy).toBeInstanceOf(Error);
    expect([copy.name, copy.message]).toEqual([name, error.message]);
  });

  it.each([['text'], [7], [undefined]])('errorFromData() gives %j again when that was thrown', (value) => {
    expect(sent(value)).toBe(value);
  });

  it('errorToData() comes to an end when an error is the cause of its own cause', () => {
    const inner = new Error('inner');
    const outer = new OcibuildError('INTERNAL', 'outer', { cause: inner });
    inner.cause = outer;
    const copy = sent(outer) as OcibuildError;
    expect(copy.message).toBe('outer');
    expect((copy.cause as Error).message).toBe('inner');
  });

  it('errorToData() gives the text of what cannot be cloned', () => {
    expect(sent({ toString: () => 'an object' })).toBe('an object');
  });
});
