import type { TransferEvent } from '../transfer/types.ts';
import { formatBytes } from './format.ts';
import type { PrinterStream } from './types.ts';

/** Shows a push or a pull: a line for each part that is done, and on a terminal one that counts the bytes. */
export function createTransferPrinter(stream: PrinterStream & { readonly isTTY?: boolean }): {
  event(event: TransferEvent): void;
  finish(): void;
} {
  const moving = new Map<string, { current: number; total: number }>();
  let shownMs = 0;
  const erase = (): void => {
    if (stream.isTTY === true) stream.write('\r\u001b[K');
  };
  const total = (): void => {
    if (stream.isTTY !== true || Date.now() - shownMs < 100) return;
    shownMs = Date.now();
    const parts = [...moving.values()];
    const sum = (of: (part: { current: number; total: number }) => number): string =>
      formatBytes(parts.reduce((all, part) => all + of(part), 0));
    stream.write(`\r\u001b[K${sum((part) => part.current)} / ${sum((part) => part.total)}`);
  };
  return {
    event({ descriptor, current, result }) {
      const { digest, size } = descriptor;
      moving.set(digest, { current, total: size });
      if (result === undefined) {
        total();
        return;
      }
      erase();
      const said = { exists: 'already there', mounted: 'mounted', copied: 'done' }[result];
      stream.write(`${digest.slice(0, 19)}  ${formatBytes(size).padStart(10)}  ${said}\n`);
    },
    finish: erase,
  };
}
