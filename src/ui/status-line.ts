import { safeText } from './format.ts';
import { clip } from './text-width.ts';
import type { PrinterStream, StatusLine } from './types.ts';

const ERASE = '\r\u001b[K';

/** The line for a stream; see `StatusLine`. */
export function createStatusLine({
  stream,
  isTerminal,
  color,
}: {
  readonly stream: PrinterStream;
  /** Whether what was written there can be taken back. */
  readonly isTerminal: boolean;
  readonly color: boolean;
}): StatusLine {
  let isShown = false;
  const write = (text: string): void => {
    if (!stream.destroyed) stream.write(text);
  };
  return {
    show(text) {
      const line = safeText(text, []);
      if (!isTerminal) {
        write(`${line}\n`);
        return;
      }
      // The last column stays free: some terminals wrap as soon as it is written.
      const shown = clip(line, Math.max((stream.columns ?? 80) - 1, 1));
      write(`${ERASE}${color ? `\u001b[2m${shown}\u001b[0m` : shown}`);
      isShown = true;
    },
    clear() {
      if (isShown) write(ERASE);
      isShown = false;
    },
  };
}
