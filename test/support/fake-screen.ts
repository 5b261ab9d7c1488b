import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import xterm from '@xterm/headless';

/** A terminal that shows what is written to it, with its scrollback. */
export interface FakeScreen {
  /** What programs write to. */
  readonly stream: NodeJS.WriteStream;
  /** Takes bytes of a program that runs elsewhere. */
  write(data: string | Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** What can be read now; blanks at the ends of lines and empty lines at the end are left out. */
  visible(): Promise<string>;
  /** The same with what has left the upper border. */
  text(): Promise<string>;
  readonly cursor: () => { readonly row: number; readonly isVisible: boolean };
}

export function createFakeScreen(columns: number, rows: number): FakeScreen {
  const terminal = new xterm.Terminal({
    cols: columns,
    rows,
    scrollback: 5000,
    convertEol: true,
    allowProposedApi: true,
  });
  let isVisible = true;
  let pending = Promise.resolve();
  const take = (data: string | Uint8Array): void => {
    const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
    const [shown, hidden] = ['h', 'l'].map((state) => text.lastIndexOf(`\u001b[?25${state}`)) as [
      number,
      number,
    ];
    if (shown !== hidden) isVisible = shown > hidden;
    pending = pending.then(() => new Promise((done) => terminal.write(data, done)));
  };
  const read = async (onlyVisible: boolean): Promise<string> => {
    // Ink draws a frame no sooner than a ms after the one before.
    await delay(5);
    await pending;
    const buffer = terminal.buffer.active;
    const lines = Array.from(
      { length: buffer.length },
      (_, i) => buffer.getLine(i)?.translateToString(true) ?? '',
    );
    return lines
      .slice(onlyVisible ? buffer.baseY : 0)
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd();
  };
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string | Uint8Array, _encoding, done) {
      take(chunk);
      done();
    },
  });
  Object.assign(stream, { isTTY: true, columns, rows });
  return {
    stream: stream as unknown as NodeJS.WriteStream,
    write: take,
    resize(toColumns, toRows) {
      pending = pending.then(() => terminal.resize(toColumns, toRows));
      Object.assign(stream, { columns: toColumns, rows: toRows });
      stream.emit('resize');
    },
    visible: () => read(true),
    text: () => read(false),
    cursor: () => ({ row: terminal.buffer.active.baseY + terminal.buffer.active.cursorY, isVisible }),
  };
}
