import { chmodSync, closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

/** How `writeFileAtomic` writes. */
export interface AtomicWriteOptions {
  /** A path that nobody else uses, on the file system of the target. */
  readonly temp: string;
  /** Permission bits, whatever the umask is. @default 0o644 */
  readonly mode?: number;
  /** Flush to disk before the rename: only for what cannot be made again after a power loss. */
  readonly sync?: boolean;
  /** Leave a file that is already there alone, and say so. */
  readonly exclusive?: boolean;
}

/** Replaces a file as a whole: a reader sees the old bytes or the new ones, also when this process is killed.
 * False when `exclusive` found a file there. */
export function writeFileAtomic(
  file: string,
  data: string | readonly Uint8Array[] | Uint8Array,
  options: AtomicWriteOptions,
): boolean {
  const mode = options.mode ?? 0o644;
  try {
    const fd = openSync(options.temp, 'wx', mode);
    try {
      for (const part of parts(data)) writeAll(fd, part);
      if (options.sync === true) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    chmodSync(options.temp, mode);
    if (options.exclusive === true) {
      // link(2) is the rename that fails when the target exists.
      linkSync(options.temp, file);
      rmSync(options.temp);
    } else {
      renameSync(options.temp, file);
    }
    return true;
  } catch (error) {
    rmSync(options.temp, { force: true });
    if (options.exclusive === true && errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Code of a failed system call (`ENOENT`), or undefined for other errors. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  // rmSync has no code for it.
  if (error.code === '' && error.message.includes('Read-only file system')) return 'EROFS';
  return typeof error.code === 'string' ? error.code : undefined;
}

function parts(data: string | readonly Uint8Array[] | Uint8Array): readonly Uint8Array[] {
  if (typeof data === 'string') return [Buffer.from(data)];
  return data instanceof Uint8Array ? [data] : data;
}

/** write(2) may write less than it was given: on a full disk, after a signal, past 2 GiB. */
function writeAll(fd: number, data: Uint8Array): void {
  for (let offset = 0; offset < data.length; ) offset += writeSync(fd, data, offset, data.length - offset);
}
