import { closeSync, openSync, writev } from 'node:fs';

/** Writes a new file in large pieces: a socket gives 64 KiB at a time, and each write costs a turn of the thread pool. */
export interface BatchWriter {
  /** Takes a chunk; waits only while the piece before is still being written. */
  write(chunk: Uint8Array): Promise<void>;
  /** Writes what is held back. */
  flush(): Promise<void>;
  /** Closes the file, whatever became of it; more than once does no harm. */
  close(): Promise<void>;
}

/**
 * Creates the file, at once.
 * @param batchBytes held back at most, twice: while one piece is written, the next gathers. 0: nothing is, and a chunk
 * may be used again once `write` is done.
 * @param onWritten told the bytes that are in the file
 */
export function createBatchWriter(
  path: string,
  { batchBytes, onWritten }: { readonly batchBytes: number; readonly onWritten?: (bytes: number) => void },
): BatchWriter {
  const fd = openSync(path, 'wx', 0o600);
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let written = 0;
  let writing: Promise<void> = Promise.resolve();
  let open = true;

  async function drain(): Promise<void> {
    await writing;
    const batch = held;
    held = [];
    heldBytes = 0;
    writing = writeAll(fd, batch).then((count) => {
      written += count;
      onWritten?.(written);
    });
    // Whoever waits for it next gets the error.
    writing.catch(() => undefined);
  }

  return {
    async write(chunk) {
      held.push(chunk);
      heldBytes += chunk.length;
      if (heldBytes < batchBytes) return;
      await drain();
      if (batchBytes === 0) await writing;
    },
    async flush() {
      if (held.length > 0) await drain();
      await writing;
    },
    async close() {
      await writing.catch(() => undefined);
      if (open) closeSync(fd);
      open = false;
    },
  };
}

async function writeAll(fd: number, chunks: readonly Uint8Array[]): Promise<number> {
  let rest = chunks;
  let total = 0;
  while (rest.length > 0) {
    const count = await new Promise<number>((resolve, reject) =>
      writev(fd, rest, null, (error, bytes) => (error === null ? resolve(bytes) : reject(error))),
    );
    total += count;
    rest = withoutFirst(rest, count);
  }
  return total;
}

/** A disk that is nearly full takes a part; the next write then says why. */
function withoutFirst(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  return chunks.flatMap((chunk) => {
    const gone = Math.min(skip, chunk.length);
    skip -= gone;
    return gone === chunk.length ? [] : [chunk.subarray(gone)];
  });
}
