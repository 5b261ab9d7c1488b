const NEWLINE = 0x0a;
/** Output without line feeds is cut here, so that it neither waits for ever nor fills memory. */
const MAX_LINE_BYTES = 64 * 1024;
const EMPTY: Uint8Array = new Uint8Array(0);

/** Complete lines of some output, and the bytes after them. */
export interface SplitLines {
  readonly lines: readonly string[];
  readonly rest: Uint8Array;
}

/** Splits output into lines. Bytes are decoded a line at a time, so that no character is torn apart. */
export function splitLines(rest: Uint8Array, data: Uint8Array): SplitLines {
  const bytes = rest.length === 0 ? data : Buffer.concat([rest, data]);
  const end = bytes.lastIndexOf(NEWLINE);
  const text = end < 0 ? [] : decode(bytes.subarray(0, end)).split('\n');
  // Copied: the caller may reuse its buffer.
  const left = Uint8Array.from(bytes.subarray(end + 1));
  return left.length > MAX_LINE_BYTES
    ? { lines: [...text, decode(left)], rest: EMPTY }
    : { lines: text, rest: left };
}

/** What is left at the end of the output as a last line. */
export function lastLine(rest: Uint8Array): readonly string[] {
  return rest.length === 0 ? [] : [decode(rest)];
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
