import { read } from 'node:fs';
import { promisify } from 'node:util';

/** How much of a file is there; `ended` when no more will come, for whatever reason. */
export interface Growth {
  readonly bytes: number;
  readonly ended: boolean;
}

/** A file that is read while somebody still writes it. */
export interface GrowingFile {
  /** Open for reading; whoever gives it closes it, after its readers are done. */
  readonly fd: number;
  /** Tells the listener how the file stands, now and from now on, until the result is called. */
  watch(listener: (growth: Growth) => void): () => void;
}

export type ReadAt = (fd: number, buffer: Buffer, at: number) => number | Promise<number>;

const READ_SIZE = 256 << 10;
const readAsync = promisify(read);

/** Reads that leave the calling thread free. */
export const readAtAsync: ReadAt = async (fd, buffer, at) =>
  (await readAsync(fd, buffer, 0, buffer.length, at)).bytesRead;

/** The bytes of a file up to its end, waiting for those that have not come. */
export async function* readGrowingFile(file: GrowingFile, readAt: ReadAt): AsyncGenerator<Buffer> {
  let growth: Growth = { bytes: 0, ended: false };
  let wake = (): void => undefined;
  const unwatch = file.watch((next) => {
    growth = next;
    wake();
  });
  try {
    for (let at = 0; ; ) {
      while (at < growth.bytes) {
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_SIZE, growth.bytes - at));
        const count = await readAt(file.fd, buffer, at);
        if (count === 0) return;
        at += count;
        yield buffer.subarray(0, count);
      }
      if (growth.ended) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    unwatch();
  }
}
