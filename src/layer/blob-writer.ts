import { createHash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Digest } from '../image/types.ts';
import { writeError } from './fs-error.ts';

/** A new file that is hashed as it is written. */
export interface BlobWriter {
  /** Gives where the bytes stand. @throws DISK_FULL */
  write(member: Buffer): { readonly offset: number; readonly compressedSize: number; readonly crc: number };
  digest(): Digest;
  /** Bytes so far. */
  size(): number;
  close(): void;
  /** Closes and removes the file. */
  discard(): void;
}

/** @throws SYSCALL_FAILED where `dest` exists or cannot be made */
export function createBlobWriter(dest: string): BlobWriter {
  const attempt = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw writeError(error, 'write the layer to', dest);
    }
  };
  const fd = attempt(() => openSync(dest, 'wx', 0o644));
  const running = createHash('sha256');
  let size = 0;
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    attempt(() => closeSync(fd));
  };
  return {
    write(member) {
      for (let done = 0; done < member.length; ) {
        done += attempt(() => writeSync(fd, member, done, member.length - done));
      }
      running.update(member);
      const offset = size;
      size += member.length;
      return { offset, compressedSize: member.length, crc: crc32(member) };
    },
    digest: () => `sha256:${running.digest('hex')}`,
    size: () => size,
    close,
    discard() {
      try {
        close();
      } finally {
        rmSync(dest, { force: true });
      }
    },
  };
}
