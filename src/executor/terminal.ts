import { closeSync, constants, openSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { sys } from '../layer/sys.ts';

/** A new terminal: what a program writes to its peer is read here. */
export interface Terminal {
  /** Descriptor for the program. */
  readonly peer: number;
  readonly output: Readable;
  /** Settles when no program has the terminal open any more. */
  readonly ended: Promise<void>;
  /** To be called once the program has been started, or the terminal never ends. */
  closePeer(): void;
  close(): void;
}

/** @see pty(7) */
export function openTerminal(): Terminal {
  const fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  let peer: number;
  try {
    peer = sys().ptyPeer(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const output = new ReadStream(fd);
  const ended = new Promise<void>((done) => {
    output.once('close', done);
    // Linux says EIO, not end of file, when the last peer has gone.
    output.once('error', () => output.destroy());
    output.once('end', () => output.destroy());
  });
  let isPeerOpen = true;
  const closePeer = (): void => {
    if (!isPeerOpen) return;
    isPeerOpen = false;
    sys().close(peer);
  };
  return {
    peer,
    output,
    ended,
    closePeer,
    close() {
      closePeer();
      output.destroy();
    },
  };
}
