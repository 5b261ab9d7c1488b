import { Box, render, Text } from 'ink';
import type { ReactNode } from 'react';
import type { LineStyle, ScreenLine } from './screen.ts';

export interface AppProps {
  readonly lines: readonly ScreenLine[];
  readonly color: boolean;
}

/** A screen that is drawn over and over in one place. */
export interface LiveScreen {
  update(lines: readonly ScreenLine[]): void;
  /** Takes the drawing away and gives the terminal back. */
  close(): void;
}

const STYLES: Readonly<Record<LineStyle, { color?: string; dimColor?: boolean; bold?: boolean }>> = {
  header: { bold: true },
  running: {},
  done: { color: 'blue' },
  cached: { color: 'blue', dimColor: true },
  failed: { color: 'red' },
  output: { dimColor: true },
};

/** Ink's view of the screen's lines. */
export function App({ lines, color }: AppProps): ReactNode {
  // A line's place is its identity: rows move up and down with what is above them.
  const rows = lines.map((line, place) => ({ ...line, key: String(place) }));
  return (
    <Box flexDirection="column">
      {rows.map(({ key, text, style }) => (
        <Text key={key} wrap="truncate" {...(color ? STYLES[style] : {})}>
          {text}
        </Text>
      ))}
    </Box>
  );
}

/** Starts drawing on a terminal. Keys are left alone, so Ctrl-C stays a signal. */
export function openScreen(stream: NodeJS.WriteStream, props: AppProps): LiveScreen {
  const app = render(<App {...props} />, { stdout: stream, exitOnCtrlC: false, patchConsole: false });
  return {
    update: (lines) => app.rerender(<App lines={lines} color={props.color} />),
    close() {
      app.clear();
      app.unmount();
    },
  };
}
