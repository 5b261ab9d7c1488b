import { createPlainPrinter } from './plain.ts';
import { createRawJsonPrinter } from './rawjson.ts';
import { settingsOf } from './settings.ts';
import { watchSuspension } from './suspend.ts';
import type { Printer, PrinterStream, ProgressMode } from './types.ts';

export interface PrinterOptions {
  readonly stream: PrinterStream;
  /** The terminal that `tty` draws on while steps run; without it only the last state is shown. */
  readonly terminal?: NodeJS.WriteStream;
  readonly color: boolean;
  /** Lines keep the colours that programs put into their output. @default true */
  readonly keepColours?: boolean;
  /** Whether the terminal shows more than ASCII. @default true */
  readonly unicode?: boolean;
  /** Text of the `#0` line in `plain`. */
  readonly title: string;
  readonly secrets?: readonly string[];
  /** `tty` leaves nothing but warnings when all went well. @default false */
  readonly brief?: boolean;
  /** The header of `tty` while it goes on and when all went well. @default Building, Built */
  readonly words?: { readonly running: string; readonly done: string };
  /** Where a file that an error names lies, as GitHub knows it. @default the name as it is */
  readonly pathOf?: (name: string) => string;
  /** Where BuildKit's variables about progress are read. @default {} */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The printer of a mode. Loads only what that mode needs. */
export async function createPrinter(mode: ProgressMode, options: PrinterOptions): Promise<Printer> {
  const { stream, terminal, color, title, secrets = [], env = {} } = options;
  const { colors, cutsNames, logLines, warnings } = settingsOf(env);
  const deps = {
    secrets,
    keepColours: options.keepColours !== false,
    now: Date.now,
    write: (text: string): void => {
      if (text !== '' && !stream.destroyed) stream.write(text);
    },
    schedule(callback: () => void, ms: number) {
      const timer = setTimeout(callback, ms);
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
  switch (mode) {
    case 'quiet':
      return { event() {}, async finish() {} };
    case 'rawjson':
      return createRawJsonPrinter(deps);
    case 'plain':
      return createPlainPrinter({ ...deps, cutsNames: cutsNames === true }, title);
    case 'grouped':
    case 'github':
    case 'gitlab': {
      const [{ createGroupedPrinter }, styles] = await Promise.all([
        import('./grouped.ts'),
        import('./group-styles.ts'),
      ]);
      const style = {
        grouped: styles.plainGroups,
        github: () => styles.githubGroups(options.pathOf),
        gitlab: styles.gitlabGroups,
      };
      return createGroupedPrinter(deps, style[mode](), title);
    }
    case 'tty': {
      const [{ createTtyPrinter }, { createTheme }] = await Promise.all([
        import('./tty.ts'),
        import('./theme.ts'),
      ]);
      const printer = createTtyPrinter({
        ...deps,
        ...(logLines === undefined ? {} : { logLines }),
        keepsNames: cutsNames === false,
        brief: options.brief === true,
        words: options.words ?? { running: 'Building', done: 'Built' },
        theme: createTheme({ color, colors, unicode: options.unicode !== false }),
        busyMs,
        size: () => ({ columns: stream.columns || 80, rows: stream.rows || 24 }),
        openScreen: async (screen, redraw) => {
          if (terminal === undefined) throw new TypeError('Cannot draw without a terminal');
          const { openScreen } = await import('./app.tsx');
          return openScreen(terminal, { screen, redraw });
        },
        onSuspend: (suspend, resume) => watchSuspension(process, suspend, resume),
      });
      for (const message of warnings) printer.event({ kind: 'warning', time: Date.now(), message });
      return printer;
    }
  }
}

function busyMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
