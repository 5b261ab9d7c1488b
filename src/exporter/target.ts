import { randomBytes } from 'node:crypto';
import { closeSync, openSync, realpathSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { exportError, targetError } from './export-error.ts';

/** Where one stream of bytes goes: an absolute file path, or `-` for `stdout`. */
export interface ExportTarget {
  readonly dest: string;
  readonly stdout?: NodeJS.WritableStream;
}

/** Takes bytes in order. A chunk may be reused by its owner once the promise resolves. */
export interface ByteSink {
  write(chunk: Uint8Array): Promise<void>;
}

/** Synchronous writes are the fast path (1.2 GB/s against 0.4–0.7 through streams), but keys, progress and
 * signals want a turn now and then. */
const BYTES_PER_TURN = 8 * 1024 * 1024;

/**
 * Gives `body` a sink. A file appears whole under its name, after `body` has resolved, or not at all.
 * @throws DISK_FULL, EXPORT_TARGET_INVALID, EXPORT_FAILED, CANCELLED
 */
export async function writeTarget(
  target: ExportTarget,
  signal: AbortSignal,
  body: (sink: ByteSink) => Promise<void>,
): Promise<void> {
  throwIfAborted(signal);
  if (target.dest === '-') {
    if (target.stdout === undefined) throw new TypeError('Cannot export to "-": no stdout was given');
    await writeStream(target.stdout, signal, body);
    return;
  }
  const place = placeOf(target.dest);
  try {
    if (place.special) await writeFile(place.path, 'w', signal, body);
    else await writeAndRename(place.path, signal, body);
  } catch (error) {
    throw exportError(error, target.dest);
  }
}

/** A symlink keeps its place, what it points to is replaced; pipes and devices are written to as they are. */
function placeOf(dest: string): { path: string; special: boolean } {
  try {
    const stat = statSync(dest);
    if (stat.isDirectory()) throw targetError(dest, 'it is a directory, expected a file');
    return { path: realpathSync(dest), special: !stat.isFile() };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return { path: dest, special: false };
    throw exportError(error, dest);
  }
}

async function writeAndRename(
  path: string,
  signal: AbortSignal,
  body: (sink: ByteSink) => Promise<void>,
): Promise<void> {
  const temp = join(dirname(path), `.${basename(path).slice(0, 200)}.${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(temp, 'wx', signal, body);
    renameSync(temp, path);
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
}

async function writeFile(
  path: string,
  flags: 'w' | 'wx',
  signal: AbortSignal,
  body: (sink: ByteSink) => Promise<void>,
): Promise<void> {
  const fd = openSync(path, flags, 0o666);
  try {
    await body(fileSink(fd, signal));
  } finally {
    // No fsync: it halves the speed of large exports, and what a power loss takes can be exported again. A full
    // disk shows in write or, on network file systems, here.
    closeSync(fd);
  }
}

export function fileSink(fd: number, signal: AbortSignal): ByteSink {
  let sinceTurn = 0;
  return {
    async write(chunk) {
      for (let offset = 0; offset < chunk.length; ) {
        offset += writeSync(fd, chunk, offset, chunk.length - offset);
      }
      sinceTurn += chunk.length;
      if (sinceTurn < BYTES_PER_TURN) return;
      sinceTurn = 0;
      await nextTurn();
      throwIfAborted(signal);
    },
  };
}

async function writeStream(
  stream: NodeJS.WritableStream,
  signal: AbortSignal,
  body: (sink: ByteSink) => Promise<void>,
): Promise<void> {
  let failure: unknown;
  /** Ends the write that is waited for: a promise of the whole stream would hold on to each that was. */
  let stop: (error: unknown) => void = () => undefined;
  const onError = (error: unknown): void => {
    failure ??= error;
    stop(error);
  };
  const onAbort = (): void => onError(signal.reason);
  stream.on('error', onError);
  signal.addEventListener('abort', onAbort, { once: true });
  const sink: ByteSink = {
    async write(chunk) {
      if (failure !== undefined) throw failure;
      await new Promise<void>((resolve, reject) => {
        stop = reject;
        stream.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    },
  };
  try {
    await body(sink);
  } catch (error) {
    throwIfAborted(signal);
    throw exportError(error, 'stdout');
  } finally {
    signal.removeEventListener('abort', onAbort);
    stream.off('error', onError);
  }
}

/** The fault of a source that does not have the bytes it should have. */
export function sourceChanged(path: string, got: number, expected: number): OcibuildError {
  return new OcibuildError(
    'EXPORT_FAILED',
    `Cannot export "${path}": got ${got} B, expected ${expected} B: it changed while it was read`,
  );
}
