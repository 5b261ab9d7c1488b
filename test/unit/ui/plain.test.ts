import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { createPlainPrinter } from '../../../src/ui/plain.ts';
import { eventsFor, fakeTerminal } from './fixture.ts';

/** Feeds events at their times, and gives what was written without the `#0` line. */
async function play(events: readonly ProgressEvent[], secrets: readonly string[] = []): Promise<string> {
  const terminal = fakeTerminal(secrets);
  const printer = createPlainPrinter(terminal, 'building with ocibuild');
  for (const event of events) {
    terminal.advance(Math.max(0, event.time - terminal.now()));
    printer.event(event);
  }
  await printer.finish();
  expect(terminal.output()).toMatch(/^#0 building with ocibuild\n/);
  return terminal.output().replace(/^#0 .*\n/, '');
}

const [a, b] = [eventsFor('a'), eventsFor('b')];

describe('createPlainPrinter()', () => {
  it('plain shows name, output and time when a step runs', async () => {
    const text = await play([
      a.vertex('[1/1] RUN make'),
      a.started(0),
      a.log(134, 'one\ntw'),
      a.log(500, 'o\n'),
      a.log(900, 'no newline', 'stderr'),
      a.done(1400),
    ]);
    expect(text).toBe(`
#1 [1/1] RUN make
#1 0.134 one
#1 0.500 two
#1 1.400 no newline
#1 DONE 1.4s
`);
  });

  it('plain returns to a step with its name when another one ended in between', async () => {
    const text = await play([
      a.vertex('[two 1/1] RUN two'),
      b.vertex('[one 1/1] RUN one'),
      a.started(0),
      b.started(10),
      a.log(150, 'two 1\n'),
      b.log(190, 'one 1\n'),
      a.log(300, 'two 2\n'),
      b.done(400),
      a.log(1000, 'two 3\n'),
      a.done(1100),
    ]);
    expect(text).toBe(`
#1 [two 1/1] RUN two
#1 0.150 two 1
#1 0.300 two 2
#1 ...

#2 [one 1/1] RUN one
#2 0.180 one 1
#2 DONE 0.4s

#1 [two 1/1] RUN two
#1 1.000 two 3
#1 DONE 1.1s
`);
  });

  it('plain moves on when the shown step is quiet for five seconds, not before', async () => {
    const events = [
      a.vertex('A'),
      b.vertex('B'),
      a.started(0),
      b.started(0),
      a.log(150, 'a\n'),
      b.log(300, 'b\n'),
    ];
    expect(await play([...events, a.log(4000, 'a2\n'), a.done(4500), b.done(4600)])).toMatch(
      /#1 DONE .*\n\n#2 B/,
    );
    const quiet = await play([...events, b.log(5600, 'b2\n'), a.done(6500), b.done(6600)]);
    expect(quiet).toMatch(/#1 \.\.\.\n\n#2 B\n#2 0\.300 b\n/);
  });

  it('plain moves on when another step waited ten seconds behind a talkative one', async () => {
    const talk = Array.from({ length: 130 }, (_, i) => a.log(100 + i * 100, `a${i}\n`));
    const text = await play([
      a.vertex('A'),
      a.started(0),
      b.vertex('B'),
      b.started(500),
      ...talk,
      a.done(13_200),
      b.done(13_300),
    ]);
    expect(text).toMatch(/#1 10\.\d+ a\d+\n#1 \.\.\.\n\n#2 B\n/);
  });

  it('plain ends steps with CACHED, CANCELED or ERROR when they did not simply run', async () => {
    const c = eventsFor('c');
    const text = await play([
      a.vertex('A'),
      a.cached(0),
      a.done(1),
      b.vertex('B'),
      b.started(5),
      c.vertex('C'),
      c.started(5),
      b.failed(900, 'Cannot finish RUN x: exit code 3\nmore'),
      c.cancelled(901),
    ]);
    expect(text).toBe(`
#1 A
#1 CACHED

#2 B
#2 ERROR: Cannot finish RUN x: exit code 3 more

#3 C
#3 CANCELED
`);
  });

  it('plain goes on under the same number when a step is tried again', async () => {
    const text = await play([
      a.vertex('A'),
      a.started(0),
      a.failed(200, 'Cannot'),
      a.started(400),
      a.done(600),
    ]);
    expect(text).toBe('\n#1 A\n#1 ERROR: Cannot\n\n#1 A\n#1 DONE 0.2s\n');
  });

  it('plain numbers steps as they begin when another one is shown first', async () => {
    const text = await play([a.started(0), b.started(1), b.log(2, 'one\n'), b.done(3), a.done(900)]);
    expect(text).toBe('\n#2 b\n#2 0.001 one\n#2 DONE 0.0s\n\n#1 a\n#1 DONE 0.9s\n');
  });

  it('plain drops colours of programs when they are refused', async () => {
    const terminal = fakeTerminal();
    const printer = createPlainPrinter({ ...terminal, keepColours: false }, '');
    for (const event of [a.started(0), a.log(0, '\u001b[31mred\u001b[0m\n'), a.done(1)]) printer.event(event);
    await printer.finish();
    expect(terminal.output()).toContain('#1 0.000 red\n');
  });

  it('plain never numbers a step when it did not begin', async () => {
    expect(await play([a.vertex('A'), b.vertex('B'), b.started(0), b.done(0)])).toBe(
      '\n#1 B\n#1 DONE 0.0s\n',
    );
  });

  it('plain tells transfers at five per cent or five seconds and joins quick ones', async () => {
    const total = { total: 1000 };
    const text = await play([
      a.vertex('A'),
      a.started(0),
      a.status(0, 'sha256:x', 0, total),
      a.status(150, 'sha256:x', 10, total),
      a.status(300, 'sha256:x', 100, total),
      a.status(500, 'sha256:x', 120, total),
      a.status(6000, 'sha256:x', 130, total),
      a.status(6200, 'sha256:x', 1000, { ...total, done: true }),
      a.status(6300, 'transferring context:', 30),
      a.status(6320, 'transferring context:', 1_977_504, { done: true }),
      a.status(6330, 'exporting layers', 0, { done: true }),
      a.done(6400),
    ]);
    expect(text).toBe(`
#1 A
#1 sha256:x 0B / 1.00kB
#1 sha256:x 100B / 1.00kB 0.3s
#1 sha256:x 130B / 1.00kB 6.0s
#1 sha256:x 1.00kB / 1.00kB 6.2s done
#1 transferring context: 1.98MB 0.0s done
#1 exporting layers done
#1 DONE 6.4s
`);
  });

  it('plain says why when a step was not cached, and lists warnings last', async () => {
    const text = await play([
      a.vertex('A'),
      a.explain(0, 'file src/a.ts changed', 'arg V: 1 → 2'),
      a.started(0),
      { kind: 'warning', time: 1_000_001, message: 'UndefinedVar: $x', url: 'https://d/x' },
      a.done(10),
    ]);
    expect(text).toContain('#1 not cached: file src/a.ts changed\n#1 not cached: arg V: 1 → 2\n');
    expect(text).toMatch(/\n1 warning found:\n - UndefinedVar: \$x, see https:\/\/d\/x\n$/);
  });

  it('plain hides secrets and cursor movements when they are in names or output', async () => {
    const text = await play(
      [
        a.vertex('RUN curl hunter2222\u001b[2J'),
        a.started(0),
        a.log(1, 'x hunter2222 \u001b[31mred\u001b[0m\u001b[1A\n10%\r20%\rdone\r\n'),
        a.failed(2, 'Cannot use hunter2222'),
      ],
      ['hunter2222'],
    );
    expect(text).not.toContain('hunter2222');
    expect(text).toContain('#1 0.001 x *** \u001b[31mred\u001b[0m\n#1 0.001 done\n');
    expect(text).not.toContain('\u001b[2J');
    expect(text).not.toContain('\u001b[1A');
  });

  it('plain keeps characters whole when they come in pieces', async () => {
    const bytes = Buffer.from('grün €\n');
    const text = await play([
      a.vertex('A'),
      a.started(0),
      a.log(1, bytes.subarray(0, 3)),
      a.log(1, bytes.subarray(3, 7)),
      a.log(1, bytes.subarray(7)),
      a.done(2),
    ]);
    expect(text).toContain('0.001 grün €\n');
  });
});
