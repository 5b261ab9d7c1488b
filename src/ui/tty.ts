import type { LiveScreen } from './app.tsx';
import { warningSummary } from './format.ts';
import { type ScreenLine, screenLines } from './screen.ts';
import type { Printer, PrinterDeps } from './types.ts';
import { emptyView, isWorking, reduceView } from './view-model.ts';

/** A build that ends sooner needs no live screen; loading Ink takes 180 ms of the main thread. */
const PATIENCE_MS = 250;
const REDRAW_MS = 100;
const MIN_COLUMNS = 20;

export interface TtyDeps extends PrinterDeps {
  readonly color: boolean;
  /** Size of the terminal now. */
  readonly size: () => { columns: number; rows: number };
  /** Loads Ink and starts drawing. */
  readonly openScreen: (lines: readonly ScreenLine[]) => Promise<LiveScreen>;
}

const COLOURS = { header: '1', running: '', done: '34', cached: '2;34', failed: '31', output: '2' } as const;

/** Draws the build's state over and over while steps run, and leaves its last state as ordinary lines. */
export function createTtyPrinter(deps: TtyDeps): Printer {
  let state = emptyView();
  let screen: LiveScreen | undefined;
  let opening: Promise<void> | undefined;
  let cancelTimer: (() => void) | undefined;
  let finished = false;

  const lines = (last: boolean): ScreenLine[] => {
    const { columns, rows } = deps.size();
    const width = Math.max(columns, MIN_COLUMNS);
    // Ink clears the whole terminal when what it draws fills it, so one row stays free.
    return screenLines(state, last ? { columns: width } : { columns: width, rows: Math.max(rows - 2, 2) }, {
      nowMs: deps.now(),
      finished: last,
    });
  };

  const open = async (): Promise<void> => {
    try {
      const opened = await deps.openScreen(lines(false));
      if (finished) opened.close();
      else screen = opened;
    } catch {
      // Without Ink (sources run unbundled) the last state still comes.
    }
  };

  const tick = (): void => {
    cancelTimer = undefined;
    if (finished) return;
    if (screen !== undefined) screen.update(lines(false));
    else if (opening === undefined && isWorking(state)) opening = open();
    plan(REDRAW_MS);
  };

  const plan = (ms: number): void => {
    cancelTimer ??= deps.schedule(tick, ms);
  };

  return {
    event(event) {
      if (finished) return;
      state = reduceView(state, event, deps.secrets);
      if (isWorking(state)) plan(PATIENCE_MS);
    },
    async finish() {
      if (finished) return;
      finished = true;
      cancelTimer?.();
      await opening;
      screen?.close();
      const shown = Object.keys(state.steps).length === 0 ? [] : lines(true);
      const warnings = warningSummary(state.warnings).map((text) => ({ text, style: 'output' as const }));
      deps.write([...shown, ...warnings].map((line) => `${paint(line, deps.color)}\n`).join(''));
    },
  };
}

function paint({ text, style }: ScreenLine, color: boolean): string {
  const code = COLOURS[style];
  return color && code !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
}
