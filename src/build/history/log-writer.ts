import { closeSync, openSync, writeSync } from 'node:fs';
import { maskBytes } from './mask-bytes.ts';

/** What one step prints, on its way to a file. */
export interface LogWriter {
  write(data: Uint8Array): void;
  close(): void;
}

const LINE_FEED = 10;
/** A line that goes on for longer is written in pieces. */
const MAX_HELD = 64 * 1024;

/**
 * Writes at once, so that a kill loses nothing. Only where there are secrets to be masked does a line wait for its end:
 * half a secret would not be known as one.
 * @param secrets texts that are masked; may grow
 */
export function openLogWriter(file: string, secrets: readonly string[]): LogWriter {
  // A step that is tried again goes on in the same file.
  let fd: number | undefined = openSync(file, 'a', 0o600);
  let held: Buffer = Buffer.alloc(0);
  const put = (bytes: Uint8Array): void => {
    for (let at = 0; fd !== undefined && at < bytes.length; ) at += writeSync(fd, bytes, at);
  };
  return {
    write(data) {
      if (secrets.length === 0 && held.length === 0) return put(data);
      const all = Buffer.concat([held, data]);
      const end = all.length > MAX_HELD ? all.length : all.lastIndexOf(LINE_FEED) + 1;
      held = all.subarray(end);
      put(maskBytes(all.subarray(0, end), secrets));
    },
    close() {
      if (fd === undefined) return;
      put(maskBytes(held, secrets));
      closeSync(fd);
      fd = undefined;
    },
  };
}
