import type { LiveScreen } from './app.tsx';
import { drawScreen, lastState, type Screen } from './screen.ts';
import { summaryLines, warningLines } from './summary.ts';
import type { Theme } from './theme.ts';
import type { Printer, PrinterDeps } from './types.ts';
import { type BuildView, createView } from './view-model.ts';

/** A build that ends sooner needs no live screen; loading Ink takes 180 ms of the main thread. */
const PATIENCE_MS = 250;
const REDRAW_MS = 100;
/** While nothing happens only times change. */
const IDLE_REDRAW_MS = 500;
/** Drawing takes no more than one part in so many of the time, unless nothing was drawn for a second. */
const DRAW_SHARE = 25;
const MAX_WAIT_MS = 1000;
const MIN_COLUMNS = 10;

export interface TtyDeps extends PrinterDeps {
  readonly theme: Theme;
  /** Lines of output below a running step. @default as many as fit */
  readonly logLines?: number;
  /** Names of steps stay whole in what is left at the end. @default false */
  readonly keepsNames?: boolean;
  /** The header while it goes on, and when all went well. */
  readonly words: { readonly running: string; readonly done: string };
  /** Leaves nothing but warnings when all went well. */
  readonly brief: boolean;
  /** Size of the terminal now. */
  readonly size: () => { columns: number; rows: number };
  /** Ms of processor time that this thread has taken: on a busy machine drawing takes long without taking much. */
  readonly busyMs: () => number;
  /** Loads Ink and starts drawing. */
  readonly openScreen: (screen: Screen, redraw: () => Screen) => Promise<LiveScreen>;
  /** Calls back when the process is about to be stopped and when it goes on; gives a function that ends that. */
  readonly onSuspend: (suspend: () => void, resume: () => void) => () => void;
}

/** Draws the build's state over and over while steps run, and leaves its last state as ordinary lines. */
export function createTtyPrinter(deps: TtyDeps): Printer {
  const { brief, logLines, theme, words, keepsNames = false } = deps;
  const view = createView(deps.secrets);
  let screen: LiveScreen | undefined;
  let opening: Promise<void> | undefined;
  let cancelTimer: (() => void) | undefined;
  let stopWatching: (() => void) | undefined;
  let hasNews = false;
  let drawnMs = 0;
  let finished = false;

  const options = (): { columns: number; theme: Theme } => ({
    columns: Math.max(deps.size().columns, MIN_COLUMNS),
    theme,
  });

  // Ink clears the whole terminal when what it draws does not fit with the cursor below it.
  const draw = (): Screen =>
    drawScreen(view, {
      ...options(),
      ...(logLines === undefined ? {} : { logLines }),
      title: words.running,
      rows: Math.max(deps.size().rows - 1, 2),
      nowMs: deps.now(),
    });

  const open = async (): Promise<void> => {
    try {
      const opened = await deps.openScreen(draw(), draw);
      if (finished) return opened.close();
      screen = opened;
      stopWatching = deps.onSuspend(opened.suspend, () => opened.update(draw()));
    } catch {
      // Without Ink (sources run unbundled) the last state still comes.
    }
  };

  const tick = (): void => {
    cancelTimer = undefined;
    if (finished) return;
    const before = deps.busyMs();
    if (screen !== undefined && (hasNews || deps.now() - drawnMs >= IDLE_REDRAW_MS)) {
      screen.update(draw());
      hasNews = false;
      drawnMs = deps.now();
    } else if (opening === undefined && view.isWorking(deps.now())) opening = open();
    plan(Math.min(Math.max(REDRAW_MS, (deps.busyMs() - before) * DRAW_SHARE), MAX_WAIT_MS));
  };

  const plan = (ms: number): void => {
    cancelTimer ??= deps.schedule(tick, ms);
  };

  const ending = (result: Parameters<Printer['finish']>[0]): string[] => {
    if (view.steps.size === 0 || (brief && result !== undefined)) return [];
    const nowMs = view.lastMs ?? deps.now();
    const { columns } = options();
    const title = result === undefined ? unfinished(view) : words.done;
    view.stop();
    const isOver = result !== undefined;
    const lines = lastState(view, { ...options(), nowMs, title, isOver, keepsNames });
    return result === undefined
      ? lines
      : [...lines, ...summaryLines(view, result, { columns, theme, keepsNames })];
  };

  return {
    event(event) {
      if (finished) return;
      view.apply(event);
      hasNews = true;
      if (cancelTimer === undefined && view.isRunning()) plan(PATIENCE_MS);
    },
    async finish(result) {
      if (finished) return;
      finished = true;
      cancelTimer?.();
      await opening;
      stopWatching?.();
      screen?.close();
      const lines = [...ending(result), ...warningLines(view.warnings, theme)];
      deps.write(lines.map((line) => `${line}\n`).join(''));
    },
  };
}

function unfinished({ steps }: BuildView): string {
  const states = new Set([...steps.values()].map(({ state }) => state));
  if (states.has('failed')) return 'Failed';
  return states.has('cancelled') ? 'Cancelled' : 'Stopped';
}
