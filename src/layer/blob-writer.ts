import { closeSync, openSync, rmSync, write as writeCallback } from 'node:fs';
import { promisify } from 'node:util';
import type { Digest } from '../image/types.ts';
import { writeError } from './fs-error.ts';
import { createRunningDigest } from './running-digest.ts';

/** A new file that is hashed as it is written. */
export interface BlobWriter {
  /** Appends; the member stays untouched until it is written. @throws DISK_FULL */
  write(member: Buffer): Promise<void>;
  /** Closes the file once everything is written. */
  finish(): Promise<{ readonly digest: Digest; readonly size: number }>;
  /** Closes and removes the file; does nothing after `finish`. */
  discard(): Promise<void>;
}

const write = promisify(writeCallback);

/**
 * @param options `aside`: hash on another thread, which is worth it for a large blob
 * @throws SYSCALL_FAILED where `dest` exists or cannot be made
 */
export function createBlobWriter(dest: string, options: { readonly aside: boolean }): BlobWriter {
  const failed = (error: unknown): unknown => writeError(error, 'write the layer to', dest);
  const running = createRunningDigest({ states: options.aside });
  let fd: number | undefined;
  try {
    fd = openSync(dest, 'wx', 0o644);
  } catch (error) {
    throw failed(error);
  }
  let size = 0;
  const pending = new Set<Promise<unknown>>();

  async function writeAt(member: Buffer, position: number): Promise<void> {
    for (let done = 0; done < member.length; ) {
      const { bytesWritten } = await write(fd as number, member, done, member.length - done, position + done);
      done += bytesWritten;
    }
  }

  return {
    async write(member) {
      const position = size;
      size += member.length;
      const both = Promise.allSettled([writeAt(member, position), running.update(member)]);
      pending.add(both);
      const failure = (await both).find(({ status }) => status === 'rejected');
      pending.delete(both);
      if (failure?.status === 'rejected') throw failed(failure.reason);
    },
    async finish() {
      const digest = await running.digest();
      await Promise.all(pending);
      const open = fd;
      fd = undefined;
      try {
        if (open !== undefined) closeSync(open);
      } catch (error) {
        rmSync(dest, { force: true });
        throw failed(error);
      }
      return { digest, size };
    },
    async discard() {
      if (fd === undefined) return;
      const open = fd;
      fd = undefined;
      // A descriptor that is closed under a write of another thread may be another file's by then.
      await Promise.all(pending);
      try {
        closeSync(open);
      } finally {
        rmSync(dest, { force: true });
      }
    },
  };
}
