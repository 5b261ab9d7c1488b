import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { screenLines } from '../../../src/ui/screen.ts';
import { createTtyPrinter } from '../../../src/ui/tty.ts';
import { emptyView, isWorking, reduceView, type ViewState } from '../../../src/ui/view-model.ts';
import { eventsFor, fakeTerminal } from './fixture.ts';

function viewOf(events: readonly ProgressEvent[]): ViewState {
  return events.reduce((state, event) => reduceView(state, event, ['hunter2222']), emptyView());
}

const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(eventsFor) as [A, A, A, A];
type A = ReturnType<typeof eventsFor>;

const BUILD: readonly ProgressEvent[] = [
  a.vertex('[internal] load build definition'),
  b.vertex('[1/3] COPY a /'),
  c.vertex('[2/3] RUN make'),
  d.vertex('[3/3] RUN later'),
  a.started(0),
  a.done(10),
  b.started(10),
  b.done(200),
  c.started(200),
  c.log(300, Array.from({ length: 9 }, (_, i) => `line ${i}\n`).join('')),
];

function textOf(state: ViewState, size: { columns: number; rows?: number }, nowMs = 1_003_200): string[] {
  return screenLines(state, size, { nowMs }).map((line) => line.text);
}

describe('screenLines()', () => {
  it('screenLines() shows header, steps with times and last output when a step runs', () => {
    expect(textOf(viewOf(BUILD), { columns: 50 })).toEqual([
      '[+] Building 3.2s (2/4)',
      ' => [internal] load build definition          0.0s',
      ' => [1/3] COPY a /                            0.2s',
      ' => [2/3] RUN make                            3.0s',
      ...[3, 4, 5, 6, 7, 8].map((i) => ` => => # line ${i}`),
    ]);
  });

  it('screenLines() folds neighbours when they were cached', () => {
    const state = viewOf([
      b.vertex('B'),
      b.cached(0),
      c.vertex('C'),
      c.cached(1),
      d.vertex('D'),
      d.cached(2),
      a.started(3),
    ]);
    expect(textOf(state, { columns: 40 }, 1_000_003).slice(1, 3)).toEqual([
      ' => CACHED 3 steps                  0.0s',
      ' => a                               0.0s',
    ]);
  });

  it('screenLines() drops finished steps first and keeps within its rows when they are few', () => {
    const state = viewOf(BUILD);
    expect(textOf(state, { columns: 50, rows: 9 }).slice(0, 3)).toEqual([
      '[+] Building 3.2s (2/4)',
      ' => 2 rows of finished steps',
      ' => [2/3] RUN make                            3.0s',
    ]);
    for (const rows of [2, 3, 4, 5, 8, 9, 10]) {
      expect(textOf(state, { columns: 50, rows }).length).toBeLessThanOrEqual(rows);
    }
  });

  it('screenLines() never exceeds the width when names are long or wide', () => {
    const state = viewOf([
      a.vertex(`RUN ${'x'.repeat(200)}`),
      a.started(0),
      b.vertex('漢字'.repeat(40)),
      b.started(0),
    ]);
    for (const columns of [20, 33, 80]) {
      for (const line of textOf(state, { columns })) {
        const width = [...line].reduce((sum, character) => sum + (/[漢字]/.test(character) ? 2 : 1), 0);
        expect(width).toBeLessThanOrEqual(columns);
      }
    }
  });
});

describe('reduceView()', () => {
  it('reduceView() leaves the old state alone when an event comes', () => {
    const before = viewOf(BUILD);
    const copy = structuredClone(before);
    reduceView(before, c.log(400, 'more\n'));
    reduceView(before, c.done(500));
    expect(before).toEqual(copy);
  });

  it('reduceView() masks secrets and ends a step once when several ends come', () => {
    const state = viewOf([a.vertex('RUN hunter2222'), a.started(0), a.cached(5), a.done(9)]);
    expect(state.steps.a).toMatchObject({ name: 'RUN ***', state: 'cached', endedMs: 1_000_005 });
  });

  it('reduceView() opens a step again when it is tried again', () => {
    const state = viewOf([a.vertex('A'), a.started(0), a.failed(5, 'x'), a.started(9)]);
    expect(state.steps.a).toMatchObject({ state: 'running', startedMs: 1_000_009, order: 0 });
    expect(state.steps.a).not.toHaveProperty('endedMs');
  });

  it('isWorking() waits for a real step when only definitions are read', () => {
    expect(isWorking(viewOf(BUILD.slice(0, 5)))).toBe(false);
    expect(isWorking(viewOf(BUILD))).toBe(true);
  });
});

describe('createTtyPrinter()', () => {
  function start(color = false) {
    const terminal = fakeTerminal();
    const screens: string[][] = [];
    let closed = 0;
    const printer = createTtyPrinter({
      ...terminal,
      color,
      size: () => ({ columns: 40, rows: 10 }),
      openScreen: async (lines) => {
        screens.push(lines.map((line) => line.text));
        return {
          update: (more) => screens.push(more.map((line) => line.text)),
          close: () => {
            closed++;
          },
        };
      },
    });
    return { terminal, printer, screens, closed: () => closed };
  }

  it('tty opens no screen when the build ends at once, and leaves its last state', async () => {
    const { terminal, printer, screens } = start();
    for (const event of [a.vertex('A'), a.started(0), a.done(20)]) printer.event(event);
    terminal.advance(20);
    await printer.finish();
    expect(screens).toEqual([]);
    expect(terminal.output()).toBe(
      '[+] Building 0.0s (1/1) FINISHED\n => A                               0.0s\n',
    );
  });

  it('tty opens the screen when a step goes on, updates it and closes it once', async () => {
    const { terminal, printer, screens, closed } = start();
    printer.event(a.vertex('A'));
    printer.event(a.started(0));
    terminal.advance(260);
    await Promise.resolve();
    expect(screens).toHaveLength(1);
    await new Promise((done) => setImmediate(done));
    terminal.advance(300);
    expect(screens.length).toBeGreaterThan(2);
    printer.event(a.cancelled(600));
    await printer.finish();
    const shown = screens.length;
    terminal.advance(5000);
    expect([closed(), screens.length]).toEqual([1, shown]);
    expect(terminal.output()).toContain(' => CANCELED A');
    expect(terminal.output()).not.toContain('\u001b');
  });

  it('tty colours its last state only when asked to', async () => {
    const { printer, terminal } = start(true);
    for (const event of [a.vertex('A'), a.failed(5, 'x')]) printer.event(event);
    await printer.finish();
    expect(terminal.output()).toContain('\u001b[31m => ERROR A');
  });
});
