import { describe, expect, it } from 'vitest';
import { createLogTail } from '../../../../src/solver/ops/log-tail.ts';

function tailOf(...parts: readonly string[]): string[] {
  const tail = createLogTail();
  for (const part of parts) tail.push(Buffer.from(part));
  return tail.lines();
}

describe('createLogTail()', () => {
  it('gives nothing when nothing was printed', () => {
    expect(tailOf()).toEqual([]);
  });

  it('joins lines that come in pieces, and takes both line ends', () => {
    expect(tailOf('on', 'e\r\ntw', 'o\n', '\nlast')).toEqual(['one', 'two', '', 'last']);
  });

  it('shows what a progress bar drew last', () => {
    expect(tailOf('1 %\r50 %\r', '100 %\r\ndone\r\n', '1 %\r2 %\r')).toEqual(['100 %', 'done', '2 %']);
  });

  it('keeps the last 20 lines', () => {
    const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`);
    expect(tailOf(lines.map((line) => `${line}\n`).join(''))).toEqual(lines.slice(10));
  });

  it('keeps the end of what is too long, in pieces or at once', () => {
    const long = `${'x'.repeat(200_000)}end\n`;
    for (const parts of [[long], long.match(/.{1,999}\n?/gs) ?? []]) {
      const [line = ''] = tailOf(...parts);
      expect(line.endsWith('xend')).toBe(true);
      expect(line.length).toBeLessThanOrEqual(16 * 1024);
    }
  });

  it('does not keep the caller’s buffer, which may be used again', () => {
    const tail = createLogTail();
    const data = Buffer.from('mine\n');
    tail.push(data);
    data.fill('!');
    expect(tail.lines()).toEqual(['mine']);
  });
});
