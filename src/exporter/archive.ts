import { pack } from 'tar-stream';
import type { ByteSink } from './target.ts';

/** An outer archive: plain names, small ids, so tar-stream's encoding is all that is needed. Entries come in the
 * order of the calls. */
export interface Archive {
  dir(name: string): Promise<void>;
  file(name: string, bytes: Buffer): Promise<void>;
  /** A file of `size` bytes that `copy` writes; its chunks may be reused by their owner at once. */
  stream(name: string, size: number, copy: (sink: ByteSink) => Promise<void>): Promise<void>;
}

/**
 * Gives `body` an archive that goes to the sink, and ends it with the two zero blocks. Owner is 0:0, equal content
 * gives equal bytes.
 * @throws what `body` or the sink throws, after both have stopped
 */
export async function writeArchive(
  sink: ByteSink,
  mtimeSec: number,
  body: (archive: Archive) => Promise<void>,
): Promise<void> {
  const tar = pack();
  // Whoever waits is told by a rejection.
  tar.on('error', () => undefined);
  const ring = createRing();
  const facts = { uid: 0, gid: 0, mtime: new Date(mtimeSec * 1000) };
  const entry = async (header: Parameters<typeof tar.entry>[0], bytes: Buffer): Promise<void> => {
    await new Promise<void>((resolve, reject) => {
      tar.entry(header, bytes, (error) => (error ? reject(error) : resolve()));
    });
  };
  const archive: Archive = {
    dir: (name) => entry({ ...facts, name, type: 'directory', mode: 0o755 }, Buffer.alloc(0)),
    file: (name, bytes) => entry({ ...facts, name, mode: 0o644, size: bytes.length }, bytes),
    async stream(name, size, copy) {
      const done = Promise.withResolvers<void>();
      /** Ends the write that is waited for. */
      let stop: (error: unknown) => void = () => undefined;
      const into = tar.entry({ ...facts, name, mode: 0o644, size }, (error) => {
        if (error) {
          done.reject(error);
          stop(error);
        } else done.resolve();
      });
      done.promise.catch(() => undefined);
      into.on('error', () => undefined);
      await copy({
        async write(chunk) {
          if (into.write(ring.hold(chunk))) return;
          await new Promise<void>((resolve, reject) => {
            stop = reject;
            into.once('drain', resolve);
          });
        },
      });
      into.end(undefined);
      await done.promise;
    },
  };
  const drained = (async () => {
    try {
      for await (const chunk of tar) await sink.write(chunk as Uint8Array);
    } catch (error) {
      tar.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  })();
  // Its failure is the reason of what `body` then fails with.
  drained.catch(() => undefined);
  try {
    await body(archive);
    tar.finalize();
  } catch (error) {
    tar.destroy(error instanceof Error ? error : new Error(String(error)));
    const reason = await drained.then(
      () => error,
      (failure: unknown) => failure,
    );
    throw reason;
  }
  await drained;
}

const RING_SIZE = 4;
const RING_BYTES = 1 << 20;
/** Above what a stream buffers before it asks to wait (16 KiB): of such chunks it holds one at a time. */
const LARGE_BYTES = 64 * 1024;

/** Copies of chunks that are still on their way. Of large ones, one is with the sink and one waits in the stream,
 * which takes no more before the first is gone; fresh buffers would cost 50 MB of garbage for a layer of 120 MB.
 * Small ones may wait in any number, so each has its own bytes. */
function createRing(): { hold(chunk: Uint8Array): Buffer } {
  const buffers: Buffer[] = [];
  let next = 0;
  return {
    hold(chunk) {
      if (chunk.length < LARGE_BYTES || chunk.length > RING_BYTES) return Buffer.from(chunk);
      next = (next + 1) % RING_SIZE;
      buffers[next] ??= Buffer.allocUnsafeSlow(RING_BYTES);
      const held = (buffers[next] as Buffer).subarray(0, chunk.length);
      held.set(chunk);
      return held;
    },
  };
}
