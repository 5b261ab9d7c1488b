import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { fillRoom } from '../../../src/ui/fill-room.ts';
import { createLogTail } from '../../../src/ui/log-tail.ts';
import { drawScreen } from '../../../src/ui/screen.ts';
import { widthOf } from '../../../src/ui/text-width.ts';
import { createTheme } from '../../../src/ui/theme.ts';
import { type BuildView, createView } from '../../../src/ui/view-model.ts';
import { eventsFor } from './fixture.ts';

type Step = ReturnType<typeof eventsFor>;
const [a, b, c] = ['a', 'b', 'c'].map(eventsFor) as [Step, Step, Step];

function viewOf(events: readonly ProgressEvent[]): BuildView {
  const view = createView(['hunter2222']);
  for (const event of events) view.apply(event);
  return view;
}

describe('drawScreen()', () => {
  const theme = createTheme({ color: true, unicode: true });
  const events = ['one', 'two', 'three'].flatMap((stage, i) => {
    const step = eventsFor(stage);
    const name = `[${stage} ${i + 1}/9] RUN ${'漢字 '.repeat(30)}`;
    return [
      step.vertex(name),
      step.started(i),
      step.log(9, `${'\u001b[31mlong line '.repeat(30)}\n`.repeat(40)),
    ];
  });

  it('drawScreen() keeps within its size whatever the size is', () => {
    const view = viewOf(events);
    for (const columns of [10, 20, 33, 80, 104, 160, 400]) {
      for (const rows of [2, 3, 5, 9, 24, 80]) {
        const screen = drawScreen(view, { columns, rows, nowMs: 1_003_000, theme, title: 'Building' });
        const height = Math.max(0, ...screen.columns.map(({ lines }) => lines.length));
        expect(screen.lines.length + height).toBeLessThanOrEqual(rows);
        for (const line of screen.lines) expect(widthOf(line)).toBeLessThanOrEqual(columns);
        for (const { width, lines } of screen.columns) {
          for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(width);
        }
      }
    }
  });

  it('drawScreen() colours marks only where colours are wanted', () => {
    const view = viewOf([a.vertex('[1/2] RUN a'), a.failed(5, 'x')]);
    const drawn = (color: boolean): string =>
      drawScreen(view, {
        columns: 40,
        rows: 9,
        nowMs: 1_000_010,
        title: 'Building',
        theme: createTheme({ color, unicode: true }),
      }).lines.join('\n');
    expect(drawn(true)).toContain('\u001b[31m✗\u001b[0m 1/2 RUN a');
    expect(drawn(false)).not.toContain('\u001b');
  });

  it('drawScreen() masks secrets in names, output and reasons', () => {
    const view = viewOf([
      a.vertex('[1/2] RUN hunter2222'),
      a.started(0),
      a.explain(1, 'ARG TOKEN hunter2222'),
      a.log(2, 'token hunter'),
      a.log(3, '2222\n'),
    ]);
    const { lines } = drawScreen(view, { columns: 60, rows: 9, nowMs: 1_000_010, theme, title: 'Building' });
    expect(lines.join('\n')).not.toContain('hunter2222');
    expect(lines.join('\n').match(/\*\*\*/g)).toHaveLength(3);
  });
});

describe('createView()', () => {
  it('createView() ends a step once when several ends come', () => {
    const view = viewOf([a.vertex('A'), a.started(0), a.cached(5), a.done(9)]);
    expect(view.steps.get('a')).toMatchObject({ state: 'cached', endedMs: 1_000_005 });
    expect(view.isRunning()).toBe(false);
  });

  it('createView() opens a step again when it is tried again', () => {
    const view = viewOf([a.vertex('A'), a.started(0), a.failed(5, 'x'), a.started(9)]);
    expect(view.steps.get('a')).toMatchObject({ state: 'running', startedMs: 1_000_009, order: 0 });
    expect(view.steps.get('a')).not.toHaveProperty('endedMs');
  });

  it('createView() measures rates over a second or more', () => {
    const status = (ms: number, current: number): ProgressEvent =>
      a.status(ms, 'layer', current, { total: 9000 });
    const view = viewOf([a.started(0), status(0, 0), status(500, 100), status(2000, 4000)]);
    expect(view.steps.get('a')?.transfers.get('layer')).toMatchObject({ current: 4000, rate: 2000 });
  });

  it('createView() finds nothing to show when a build is prepared quickly and all is cached', () => {
    const view = viewOf([a.vertex('[internal] load'), a.started(0), b.vertex('[1/2] FROM x'), b.cached(3)]);
    expect(view.isWorking(1_001_000)).toBe(false);
    expect(view.isWorking(1_002_000)).toBe(true);
    view.apply(c.vertex('[2/2] RUN x'));
    view.apply(c.started(20));
    expect(view.isWorking(1_000_020)).toBe(true);
  });
});

describe('createLogTail()', () => {
  it('createLogTail() gives the last lines when far more came than it keeps', () => {
    const tail = createLogTail();
    for (let i = 0; i < 5000; i++) tail.append('stdout', Buffer.from(`line ${i}\n`));
    expect(tail.last(3, [])).toEqual(['line 4997', 'line 4998', 'line 4999']);
    expect(tail.last(9999, [])[0]).toMatch(/^line \d+$/);
    expect(tail.last(0, [])).toEqual([]);
  });

  it('createLogTail() shows a line without end, but never the rest of a secret that was cut', () => {
    const tail = createLogTail();
    tail.append('stdout', Buffer.from('hunter2222'.repeat(2000)));
    expect(tail.last(5, ['hunter2222']).join('')).not.toMatch(/unter|hunte/);
    tail.append('stdout', Buffer.from('\r100%'));
    expect(tail.last(5, [])).toEqual(['100%']);
  });

  it('createLogTail() keeps the streams apart when one breaks into the line of the other', () => {
    const tail = createLogTail();
    tail.append('stdout', Buffer.from('half'));
    tail.append('stderr', Buffer.from('error\n'));
    expect(tail.last(5, [])).toEqual(['half', 'error']);
  });
});

describe('fillRoom()', () => {
  const block = (line: string, isOpen: boolean, details = 0) => ({
    line,
    isOpen,
    details: (max: number) => Array.from({ length: Math.min(details, max) }, (_, i) => `${line} ${i}`),
  });
  const more = (count: number, what: string): string => `${count} ${what}`;

  it('fillRoom() shows some output of each running step before finished steps', () => {
    const blocks = [...['a', 'b', 'c', 'd'].map((name) => block(name, false)), block('x', true, 20)];
    expect(fillRoom(blocks, 9, more)).toEqual([
      '3 finished',
      'd',
      'x',
      'x 0',
      'x 1',
      'x 2',
      'x 3',
      'x 4',
      'x 5',
    ]);
  });

  it('fillRoom() says how many there are when not even rows of running steps fit', () => {
    const blocks = ['a', 'b', 'c', 'd'].map((name) => block(name, true, 3));
    expect(fillRoom(blocks, 2, more)).toEqual(['a', '3 running']);
  });
});
