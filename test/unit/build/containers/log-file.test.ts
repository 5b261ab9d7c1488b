import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogReader, createLogWriter, tailPosition } from '../../../../src/build/containers/log-file.ts';
import { parseSince } from '../../../../src/build/containers/logs.ts';

let dir: string;
const file = (): string => join(dir, 'log');
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ocibuild-log-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function write(...chunks: readonly (readonly ['stdout' | 'stderr', string])[]): void {
  const writer = createLogWriter(file());
  for (const [stream, text] of chunks) writer.write(stream, Buffer.from(text, 'latin1'));
  writer.close();
}

function readFrom(position: number, stream = 'stdout'): string {
  const reader = createLogReader(file(), position);
  let text = '';
  for (let records = reader.read(); records.length > 0; records = reader.read()) {
    for (const record of records) {
      if (record.stream === stream) text += record.text.toString('latin1') + (record.ends ? '\n' : '');
    }
  }
  reader.close();
  return text;
}

describe('createLogWriter()', () => {
  it('createLogWriter() writes records as Kubernetes reads them when lines come in parts', () => {
    write(['stdout', 'one\ntw'], ['stderr', 'err\n'], ['stdout', 'o\n\n']);
    const lines = readFileSync(file(), 'latin1').split('\n');
    expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z /, ''))).toEqual([
      'stdout F one',
      'stdout P tw',
      'stderr F err',
      'stdout F o',
      'stdout F ',
      '',
    ]);
  });

  it('createLogReader() gives back every byte when they were written in any parts', () => {
    const bytes = fc.string({
      unit: fc.nat({ max: 255 }).map((byte) => String.fromCharCode(byte)),
      maxLength: 40,
    });
    const chunk = fc.tuple(fc.constantFrom('stdout', 'stderr'), bytes);
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 8 }), (chunks) => {
        rmSync(file(), { force: true });
        write(...(chunks as ['stdout' | 'stderr', string][]));
        for (const stream of ['stdout', 'stderr']) {
          const all = chunks.filter(([name]) => name === stream).map(([, text]) => text);
          expect(readFrom(0, stream)).toBe(all.join(''));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('createLogReader() leaves a record for later when only a part of it is there', () => {
    writeFileSync(file(), '2026-01-01T00:00:00.000Z stdout F wh');
    const reader = createLogReader(file(), 0);
    expect(reader.read()).toEqual([]);
    writeFileSync(file(), 'ole\n', { flag: 'a' });
    expect(reader.read().map(({ text }) => text.toString())).toEqual(['whole']);
    reader.close();
  });
});

describe('tailPosition()', () => {
  it.each([
    [0, ''],
    [1, 'd'],
    [2, 'b long line\nd'],
    [3, 'a\nb long line\nd'],
    [9, 'a\nb long line\nd'],
  ])('tailPosition() finds the start when the last %i lines are asked for', (count, text) => {
    write(['stdout', 'a\nb long'], ['stdout', ' line\n'], ['stdout', 'd']);
    expect(readFrom(tailPosition(file(), count))).toBe(text);
  });

  it('tailPosition() finds the start when the log is larger than a block', () => {
    const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ${'x'.repeat(i % 70)}`);
    write(...lines.map((line) => ['stdout', `${line}\n`] as const));
    expect(readFrom(tailPosition(file(), 3000))).toBe(`${lines.slice(-3000).join('\n')}\n`);
    expect(readFrom(tailPosition(file(), 5000))).toBe(`${lines.join('\n')}\n`);
  });
});

describe('parseSince()', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');

  it.each([
    ['10m', '2026-01-31T11:50:00.000Z'],
    ['1h30m', '2026-01-31T10:30:00.000Z'],
    ['1769860800', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31T10:00:00+01:00', '2026-01-31T09:00:00.000Z'],
  ])('parseSince() gives a time when the text is %s', (text, time) => {
    expect(parseSince(text, now).toISOString()).toBe(time);
  });

  it('parseSince() refuses when the text is no time', () => {
    expect(() => parseSince('soon', now)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
  });
});
