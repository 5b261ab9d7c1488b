import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import type { ProgressEvent } from '../solver/types.ts';
import type { PutResult, TransferEvent } from '../transfer/types.ts';
import { capabilitiesOf } from './capabilities.ts';
import { formatBytes } from './format.ts';
import type { Printer, ResultFacts } from './types.ts';

/** Shows a push, a pull or a copy. */
export interface TransferPrinter {
  event(event: TransferEvent): void;
  /** Nothing is written afterwards. */
  finish(error?: unknown): Promise<void>;
}

export interface TransferPrinterOptions {
  readonly stream: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly words: { readonly running: string; readonly done: string };
  /** What moves, for people. */
  readonly name: string;
}

const SAID: Readonly<Record<PutResult, string>> = {
  exists: 'already there',
  mounted: 'mounted',
  copied: 'done',
};

/** Without steps there is no summary. */
const NO_STEPS: ResultFacts = { names: [], cachedSteps: 0, totalSteps: 0 };

/** A line for each part that is done; on a terminal they come at the end, and bars before. */
export async function openTransferPrinter(options: TransferPrinterOptions): Promise<TransferPrinter> {
  const { stream, env, words, name } = options;
  const { likesDrawing, color, unicode } = capabilitiesOf(env, stream.isTTY === true);
  if (!likesDrawing) return linesPrinter((line) => stream.write(line));
  const { createPrinter } = await import('./create-printer.ts');
  const how = { stream, terminal: stream, color, unicode, env, words, title: words.running };
  const printer = await createPrinter('tty', how);
  return screenPrinter(printer, name, (line) => stream.write(line));
}

function linesPrinter(write: (line: string) => void): TransferPrinter {
  return {
    event(event) {
      if (event.result !== undefined) write(lineOf(event, event.result));
    },
    async finish() {},
  };
}

function screenPrinter(printer: Printer, name: string, write: (line: string) => void): TransferPrinter {
  const vertex = 'transfer';
  const lines: string[] = [];
  const emit = (event: ProgressEvent): void => printer.event(event);
  let isBegun = false;
  return {
    event(event) {
      const time = Date.now();
      if (!isBegun) {
        emit({ kind: 'vertex', time, vertex, name });
        emit({ kind: 'started', time, vertex });
        isBegun = true;
      }
      const { descriptor, current, result } = event;
      const { digest: id, size: total } = descriptor;
      if (result !== undefined) lines.push(`    ${lineOf(event, result)}`);
      emit({
        kind: 'status',
        time,
        vertex,
        id,
        current,
        total,
        ...(result === undefined ? {} : { done: true }),
      });
    },
    async finish(error) {
      if (isBegun) emit({ kind: 'completed', time: Date.now(), vertex, ...failureOf(error) });
      await printer.finish(error === undefined ? NO_STEPS : undefined);
      if (lines.length > 0) write(lines.splice(0).join(''));
    },
  };
}

function failureOf(error: unknown): { error?: OcibuildError; cancelled?: boolean } {
  if (error === undefined) return {};
  if (!isOcibuildError(error)) return { error: new OcibuildError('INTERNAL', String(error)) };
  return error.category === 'cancelled' ? { cancelled: true } : { error };
}

function lineOf({ descriptor: { digest, size } }: TransferEvent, result: PutResult): string {
  return `${digest.slice(0, 19)}  ${formatBytes(size).padStart(10)}  ${SAID[result]}\n`;
}
