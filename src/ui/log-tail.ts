import { safeLine } from './format.ts';

/** Bytes of output that are kept for a step. A terminal of 200 lines shows no more. */
const SIZE = 16 * 1024;
const NEWLINE = 0x0a;

/** The end of a step's output. Taking more of it costs a copy of its bytes, whatever was taken before. */
export interface LogTail {
  append(stream: 'stdout' | 'stderr', data: Uint8Array): void;
  /** The last lines, oldest first, fit for a terminal. What waits for its line feed counts. */
  last(count: number, secrets: readonly string[]): string[];
}

export function createLogTail(): LogTail {
  const ring = Buffer.alloc(SIZE);
  let end = 0;
  let written = 0;
  let stream: 'stdout' | 'stderr' | undefined;

  const put = (data: Uint8Array): void => {
    const kept = data.length > SIZE ? data.subarray(data.length - SIZE) : data;
    const first = Math.min(kept.length, SIZE - end);
    ring.set(kept.subarray(0, first), end);
    ring.set(kept.subarray(first), 0);
    end = (end + kept.length) % SIZE;
    written += data.length;
  };

  const text = (): string => {
    const bytes = written <= SIZE ? ring.subarray(0, written) : [ring.subarray(end), ring.subarray(0, end)];
    return (Array.isArray(bytes) ? Buffer.concat(bytes) : bytes).toString('utf8');
  };

  return {
    append(from, data) {
      if (data.length === 0) return;
      const isInLine = written > 0 && ring[(end + SIZE - 1) % SIZE] !== NEWLINE;
      if (stream !== undefined && stream !== from && isInLine) put(Uint8Array.of(NEWLINE));
      stream = from;
      put(data);
    },
    last(count, secrets) {
      const lines = text().split('\n');
      if (lines.at(-1) === '') lines.pop();
      if (written > SIZE && lines.length > 1) lines.shift();
      else if (written > SIZE) {
        // The start of a line without end is lost, maybe with half of a secret.
        const longest = Math.max(0, ...secrets.map((secret) => secret.length));
        lines[0] = (lines[0] ?? '').slice(longest);
      }
      return count <= 0 ? [] : lines.slice(-count).map((line) => safeLine(line, secrets));
    },
  };
}
