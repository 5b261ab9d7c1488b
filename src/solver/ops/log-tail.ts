export interface LogTail {
  push(data: Uint8Array): void;
  /** The last lines, oldest first. */
  lines(): string[];
}

/** Enough for 20 lines of sensible length; a step may print gigabytes. */
const KEEP_BYTES = 16 * 1024;
const KEEP_LINES = 20;

/** Keeps the end of a log in bounded memory, for the error that may come. */
export function createLogTail(): LogTail {
  let parts: Buffer[] = [];
  let size = 0;
  return {
    push(data) {
      parts.push(Buffer.from(data.subarray(-KEEP_BYTES)));
      size += data.length;
      if (size < 4 * KEEP_BYTES) return;
      const joined = Buffer.concat(parts).subarray(-KEEP_BYTES);
      parts = [Buffer.from(joined)];
      size = joined.length;
    },
    lines() {
      const text = Buffer.concat(parts).subarray(-KEEP_BYTES).toString('utf8');
      return (
        text
          .split('\n')
          // A progress bar draws over itself: what stood there at the end counts.
          .map((line) => line.replace(/\r+$/, '').replace(/^.*\r/s, ''))
          .filter((line, i, all) => line !== '' || i < all.length - 1)
          .slice(-KEEP_LINES)
      );
    },
  };
}
