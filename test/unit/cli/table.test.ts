import { describe, expect, it } from 'vitest';
import { oneLine, sizeOf, table } from '../../../src/cli/table.ts';

describe('table', () => {
  it('table() makes columns as wide as their widest cell takes on a terminal', () => {
    expect(
      table([
        ['STEP', 'SIZE'],
        ['RUN echo 你好', '1 B'],
        ['RUN echo é…', '20 B'],
        ['👩‍👩‍👧', ''],
      ]),
    ).toBe('STEP           SIZE\nRUN echo 你好  1 B\nRUN echo é…    20 B\n👩‍👩‍👧\n');
  });

  it('table() passes on nothing that a pulled image could move the cursor with', () => {
    const cells = ['LABEL a=\u001b[31mred\u0007\u001b]0;title\u0007', 'two\r\nlines\tof it\u009b2J'];
    expect(table([['CREATED BY', 'COMMENT'], cells])).toBe(
      'CREATED BY   COMMENT\nLABEL a=red  two lines of it\n',
    );
  });

  it('oneLine() cuts to columns and never within a character', () => {
    expect(oneLine('RUN  echo\n\thi', 20)).toBe('RUN echo hi');
    expect(oneLine('RUN echo hi', 8)).toBe('RUN ech…');
    expect(oneLine('RUN é 👍👍', 9)).toBe('RUN é 👍…');
    expect(oneLine('\u001b[1mRUN', 3)).toBe('RUN');
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_949, '999.9 kB'],
    [999_999, '1.0 MB'],
    [1_500_000, '1.5 MB'],
    [2e15, '2000.0 TB'],
  ])('sizeOf() writes %d B', (bytes, text) => {
    expect(sizeOf(bytes)).toBe(text);
  });
});
