import type { BuildResult } from '../../../src/build/options.ts';
import type { Digest } from '../../../src/image/types.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { openScreen } from '../../../src/ui/app.tsx';
import { createTheme } from '../../../src/ui/theme.ts';
import { createTtyPrinter } from '../../../src/ui/tty.ts';
import type { Printer } from '../../../src/ui/types.ts';
import { createFakeScreen, type FakeScreen } from '../../support/fake-screen.ts';
import { fakeTerminal } from './fixture.ts';

/** A printer that draws with Ink on a terminal, by a clock that moves only when it is told to. */
export interface ScriptedScreen {
  readonly printer: Printer;
  readonly screen: FakeScreen;
  /** Lets time pass, with the events that happen in it, and gives what can be read then. */
  at(ms: number): Promise<string>;
  /** What Ctrl-Z and `fg` do. */
  readonly suspension: { suspend?: () => void; resume?: () => void };
}

export interface ScriptOptions {
  readonly columns: number;
  readonly rows: number;
  readonly color?: boolean;
  readonly unicode?: boolean;
  readonly brief?: boolean;
  readonly logLines?: number;
  readonly secrets?: readonly string[];
}

export function startScreen(events: readonly ProgressEvent[], options: ScriptOptions): ScriptedScreen {
  const { columns, rows, color = false, unicode = true, brief = false, secrets = [] } = options;
  const clock = fakeTerminal(secrets);
  const screen = createFakeScreen(columns, rows);
  const startMs = clock.now();
  const suspension: ScriptedScreen['suspension'] = {};
  const printer = createTtyPrinter({
    ...clock,
    write: (text) => screen.stream.write(text),
    theme: createTheme({ color, unicode }),
    brief,
    ...(options.logLines === undefined ? {} : { logLines: options.logLines }),
    words: { running: 'Building', done: 'Built' },
    busyMs: () => 0,
    size: () => ({ columns: screen.stream.columns, rows: screen.stream.rows }),
    openScreen: async (first, redraw) => openScreen(screen.stream, { screen: first, redraw }),
    onSuspend(suspend, resume) {
      Object.assign(suspension, { suspend, resume });
      return () => {};
    },
  });
  let waiting = [...events].sort((a, b) => a.time - b.time);
  const goTo = async (time: number): Promise<void> => {
    while (clock.now() < time) {
      clock.advance(Math.min(50, time - clock.now()));
      await new Promise((done) => setImmediate(done));
    }
  };
  return {
    printer,
    screen,
    suspension,
    async at(ms) {
      const due = waiting.filter(({ time }) => time <= startMs + ms);
      waiting = waiting.slice(due.length);
      for (const event of due) {
        await goTo(event.time);
        printer.event(event);
      }
      await goTo(startMs + ms);
      return screen.visible();
    },
  };
}

/** The result of a build with layers of these sizes; those below zero were there before. */
export function resultOf(
  names: readonly string[],
  sizes: Readonly<Record<string, readonly number[]>>,
): BuildResult {
  const digestOf = (seed: number): Digest => `sha256:${seed.toString(16).padStart(64, '1f3a')}`;
  const all = Object.values(sizes).flat();
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(7),
    size: 1234,
  };
  return {
    digest: descriptor.digest,
    descriptor,
    config: { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } },
    names,
    platforms: Object.entries(sizes).map(([platform, layers]) => {
      const [os = '', architecture = ''] = platform.split('/');
      return {
        platform: { os, architecture },
        descriptor,
        configDigest: descriptor.digest,
        layers: layers.map((size, i) => ({ digest: digestOf(i), size: Math.abs(size), reused: size < 0 })),
      };
    }),
    cachedSteps: all.filter((size) => size < 0).length,
    totalSteps: all.length,
  };
}
