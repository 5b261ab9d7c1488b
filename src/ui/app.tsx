import { Box, render, Text } from 'ink';
import type { ReactNode } from 'react';
import type { Screen } from './screen.ts';
import { widthOf } from './text-width.ts';

const GAP = 2;
const SHOW_CURSOR = '\u001b[?25h';
const HIDE_CURSOR = '\u001b[?25l';

/** A screen that is drawn over and over in one place. */
export interface LiveScreen {
  update(screen: Screen): void;
  /** Takes the drawing away and gives the cursor back; the next update draws again. */
  suspend(): void;
  /** Takes the drawing away and gives the terminal back. */
  close(): void;
}

/** Ink's view of the screen. Lines carry their colours. */
export function App({ screen }: { readonly screen: Screen }): ReactNode {
  return (
    <Box flexDirection="column">
      <Lines lines={screen.lines} />
      <Box flexDirection="row" columnGap={GAP}>
        {screen.columns.map(({ width, lines }, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a column is its place
          <Box key={place} width={width} flexDirection="column">
            <Lines lines={lines} />
          </Box>
        ))}
      </Box>
    </Box>
  );
}

function Lines({ lines }: { readonly lines: readonly string[] }): ReactNode {
  return lines.map((line, place) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: rows move up and down with what is above them
    <Text key={place} wrap="truncate">
      {line}
    </Text>
  ));
}

/** Starts drawing on a terminal. Keys are left alone, so Ctrl-C stays a signal. `redraw` is asked for a screen that fits
 * when the terminal has another size. */
export function openScreen(
  stream: NodeJS.WriteStream,
  { screen, redraw }: { readonly screen: Screen; readonly redraw: () => Screen },
): LiveScreen {
  let shown = screen;
  let columns = stream.columns;
  let isSuspended = false;
  // Comes before Ink's own listener, which would draw the old lines again. A terminal that gets narrower breaks the lines
  // that stand there, so the drawing is higher than Ink believes.
  const resized = (): void => {
    const extra = stream.columns < columns ? brokenRows(shown, stream.columns) : 0;
    columns = stream.columns;
    if (isSuspended) return;
    if (extra > 0) stream.write(`\u001b[${extra}A\u001b[J`);
    app.clear();
    update(redraw());
  };
  stream.on('resize', resized);
  const app = render(<App screen={screen} />, {
    stdout: stream,
    exitOnCtrlC: false,
    patchConsole: false,
    interactive: true,
    isScreenReaderEnabled: false,
    incrementalRendering: true,
    // Whoever calls update() counts the frames.
    maxFps: 1000,
  });
  const update = (next: Screen): void => {
    if (isSuspended) stream.write(HIDE_CURSOR);
    isSuspended = false;
    shown = next;
    app.rerender(<App screen={next} />);
  };
  return {
    update,
    suspend() {
      app.clear();
      stream.write(SHOW_CURSOR);
      isSuspended = true;
    },
    close() {
      stream.off('resize', resized);
      app.clear();
      app.unmount();
    },
  };
}

/** Rows that the screen takes on fewer columns beyond those it was made for. */
function brokenRows({ lines, columns }: Screen, width: number): number {
  const height = Math.max(0, ...columns.map((column) => column.lines.length));
  const whole = Array.from({ length: height }, (_, row) => {
    const last = columns.findLastIndex((column) => (column.lines[row] ?? '') !== '');
    const before = columns.slice(0, Math.max(last, 0)).reduce((sum, column) => sum + column.width + GAP, 0);
    return before + widthOf(columns[last]?.lines[row] ?? '');
  });
  return [...lines.map(widthOf), ...whole].reduce(
    (sum, columnsOfLine) => sum + Math.max(Math.ceil(columnsOfLine / Math.max(width, 1)) - 1, 0),
    0,
  );
}
