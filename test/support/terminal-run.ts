import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readlinkSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ReadStream } from 'node:tty';
import { sys } from '../../src/layer/sys.ts';
import { createFakeScreen, type FakeScreen } from './fake-screen.ts';

/** A program on a terminal of its own. */
export interface TerminalRun {
  readonly child: ChildProcess;
  readonly screen: FakeScreen;
  /** Its exit code. */
  readonly ended: Promise<number | null>;
  type(keys: string): void;
  resize(columns: number, rows: number): void;
  /** Waits until the screen shows it, and gives the screen. */
  seen(pattern: RegExp): Promise<string>;
  /** The terminal goes away, as when its window is closed. */
  hangUp(): void;
}

/** @see pty(7) and setsid(1): Ctrl-C is a signal only for the session that has the terminal */
export function runInTerminal(
  words: readonly string[],
  {
    columns,
    rows,
    ...options
  }: {
    readonly columns: number;
    readonly rows: number;
    readonly cwd: string;
    readonly env: Readonly<Record<string, string | undefined>>;
  },
): TerminalRun {
  const fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  const peer = sys().ptyPeer(fd);
  const name = readlinkSync(`/proc/self/fd/${peer}`);
  const setSize = (toColumns: number, toRows: number): void => {
    execFileSync('stty', ['-F', name, 'cols', String(toColumns), 'rows', String(toRows)]);
  };
  setSize(columns, rows);
  const screen = createFakeScreen(columns, rows);
  const child = spawn('setsid', ['--ctty', ...words], {
    ...options,
    stdio: [peer, peer, peer],
  });
  sys().close(peer);
  const output = new ReadStream(fd);
  output.on('data', (data) => screen.write(data));
  // Linux says EIO, not end of file, when the last program has gone.
  output.on('error', () => output.destroy());
  return {
    child,
    screen,
    ended: new Promise((done) => child.once('close', done)),
    type: (keys) => void writeSync(fd, keys),
    resize(toColumns, toRows) {
      screen.resize(toColumns, toRows);
      setSize(toColumns, toRows);
    },
    async seen(pattern) {
      for (let i = 0; i < 2400; i++) {
        const text = await screen.visible();
        if (pattern.test(text)) return text;
        await delay(25);
      }
      throw new Error(`Cannot find ${pattern} on the screen:\n${await screen.text()}`);
    },
    hangUp() {
      output.destroy();
      try {
        closeSync(fd);
      } catch {
        // The stream has closed it.
      }
    },
  };
}
