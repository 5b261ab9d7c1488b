import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { createRawJsonPrinter } from '../../../src/ui/rawjson.ts';
import { eventsFor, fakeTerminal } from './fixture.ts';

const a = eventsFor('sha256:aa');
const internal = eventsFor('internal:[internal] load');

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const FINDING = {
  detail: 'Why',
  file: { name: 'Dockerfile', text: 'FROM a\nENV T=hunter2222\n' },
  range: { start: 2, end: 3 },
};

describe('createRawJsonPrinter()', () => {
  it('rawjson gives one object in the shape of the status stream when an event comes', () => {
    const terminal = fakeTerminal(['hunter2222']);
    const printer = createRawJsonPrinter(terminal);
    const events = [
      { kind: 'planned', time: 1_000_000, vertices: ['sha256:aa'] } as const,
      internal.vertex('[internal] load'),
      { ...a.vertex('RUN x'), inputs: ['sha256:bb'] } as ProgressEvent,
      a.started(0),
      a.log(5, Buffer.of(0xff, 0x0a), 'stderr'),
      a.log(6, 'hunter2222 é\n'),
      a.status(7, 'transferring', 1, { total: 2 }),
      a.status(9, 'transferring', 2, { total: 2, done: true }),
      { kind: 'warning', time: 1_000_008, message: 'careful', url: 'u' } as const,
      { kind: 'warning', time: 1_000_008, message: 'X', url: 'u', finding: FINDING } as const,
      a.explain(9, 'file a'),
      a.failed(10, 'Cannot hunter2222'),
    ];
    for (const event of events) printer.event(event);
    const at = (ms: number): string => new Date(1_000_000 + ms).toISOString();
    const vertex = { digest: 'sha256:aa', inputs: ['sha256:bb'], name: 'RUN x' };
    expect(
      terminal
        .output()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { vertexes: [{ digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), name: '[internal] load' }] },
      { vertexes: [vertex] },
      { vertexes: [{ ...vertex, started: at(0) }] },
      { logs: [{ vertex: 'sha256:aa', stream: 2, data: '/wo=', timestamp: at(5) }] },
      {
        logs: [
          {
            vertex: 'sha256:aa',
            stream: 1,
            data: Buffer.from('*** é\n').toString('base64'),
            timestamp: at(6),
          },
        ],
      },
      {
        statuses: [
          { id: 'transferring', vertex: 'sha256:aa', total: 2, current: 1, timestamp: at(7), started: at(7) },
        ],
      },
      {
        statuses: [
          {
            id: 'transferring',
            vertex: 'sha256:aa',
            total: 2,
            current: 2,
            timestamp: at(9),
            started: at(7),
            completed: at(9),
          },
        ],
      },
      { warnings: [{ level: 1, short: base64('careful'), url: 'u' }] },
      {
        warnings: [
          {
            ...{ level: 1, short: base64('X'), url: 'u', detail: [base64('Why')] },
            sourceInfo: {
              ...{ filename: 'Dockerfile', language: 'Dockerfile' },
              data: base64('FROM a\nENV T=***\n'),
            },
            range: [{ start: { line: 2 }, end: { line: 3 } }],
          },
        ],
      },
      { explanations: [{ vertex: 'sha256:aa', changes: ['file a'], timestamp: at(9) }] },
      { vertexes: [{ ...vertex, started: at(0), completed: at(10), error: 'Cannot ***' }] },
    ]);
  });

  it('rawjson marks a vertex as cached and cancelled when it was', () => {
    const terminal = fakeTerminal();
    const printer = createRawJsonPrinter(terminal);
    for (const event of [a.cached(1), eventsFor('b').cancelled(2)]) printer.event(event);
    expect(terminal.output()).toContain('"cached":true');
    expect(terminal.output()).toContain('"error":"context canceled"');
  });
});
