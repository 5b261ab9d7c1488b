import { createHash, hash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fstatSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { OcibuildError } from '../errors/error.ts';
import type { Digest } from '../image/types.ts';
import { errnoOf, writeFileAtomic } from '../util/atomic-fs.ts';
import type { Lease } from './lease.ts';
import { storeError } from './store-error.ts';
import type { ContentStore, StoreRoot } from './types.ts';

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const CHUNK = 1 << 20;

/**
 * Blobs in `blobs/sha256`. Nothing is fsynced: a killed process loses no page cache, and after a power loss a
 * blob may be short or empty, but its size or digest is then wrong, every reader looks, and the blob is fetched
 * or built again. An fsync for each layer would cost tens of milliseconds a step for nothing more.
 */
export function createContentStore(
  root: Pick<StoreRoot, 'blobsDir' | 'tempPath'>,
  options: { readonly lease?: Pick<Lease, 'blob'> } = {},
): ContentStore {
  /** Before the blob is looked at. */
  const use = (digest: Digest): void => options.lease?.blob(digest);
  const path = (digest: Digest): string => {
    // A digest becomes a path: this is the last line against `sha256:../../etc/passwd` in foreign manifests.
    if (!DIGEST.test(digest)) throw new RangeError(`Cannot use "${digest}" as digest of a blob`);
    return join(root.blobsDir, digest.slice(7));
  };
  const peek = (digest: Digest): number | undefined => {
    const found = statSync(path(digest), { throwIfNoEntry: false });
    return found?.isFile() ? found.size : undefined;
  };
  const drop = (digest: Digest): boolean => {
    try {
      unlinkSync(path(digest));
      return true;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw storeError(error, path(digest));
    }
  };
  /** The damage is what has to be told, also by who may not write. */
  const dropDamaged = (digest: Digest): void => {
    try {
      drop(digest);
    } catch {
      // In a store that is only looked at, or that has just become read-only.
    }
  };
  return {
    path,
    peek,
    stat(digest) {
      const size = peek(digest);
      if (size === undefined) return undefined;
      use(digest);
      return peek(digest);
    },
    drop,
    tempFile: root.tempPath,
    putBytes(bytes) {
      const digest: Digest = `sha256:${hash('sha256', bytes, 'hex')}`;
      const size = bytes.length;
      use(digest);
      if (!holds(path(digest), bytes)) {
        try {
          writeFileAtomic(path(digest), bytes, { temp: root.tempPath() });
        } catch (error) {
          throw storeError(error, path(digest));
        }
      }
      return { digest, size };
    },
    ingest(tempFile, digest, size) {
      try {
        const actual = statSync(tempFile).size;
        if (actual !== size) throw sizeMismatch(digest, actual, size);
        use(digest);
        // Another process may have been quicker. Renaming over its blob would be right too, but would make
        // readers that mapped or linked the old one keep a second copy on disk.
        if (peek(digest) === size) return;
        chmodSync(tempFile, 0o644);
        renameSync(tempFile, path(digest));
      } catch (error) {
        throw storeError(error, path(digest));
      } finally {
        rmSync(tempFile, { force: true });
      }
    },
    readBytes(digest, maxSize) {
      const fd = open(path(digest), digest);
      try {
        const { size } = fstatSync(fd);
        if (size > maxSize) throw sizeMismatch(digest, size, maxSize);
        const bytes = readFileSync(fd);
        if (hash('sha256', bytes, 'hex') === digest.slice(7)) return bytes;
      } finally {
        closeSync(fd);
      }
      dropDamaged(digest);
      throw digestMismatch(digest);
    },
    openStream({ digest, size }) {
      const fd = open(path(digest), digest);
      const actual = fstatSync(fd).size;
      if (actual === size) return verifiedStream(fd, { digest, size, onBad: () => dropDamaged(digest) });
      // The descriptor may be the wrong one of the two: the blob goes only when it is bad in itself.
      const sound = digestOfFile(fd) === digest;
      closeSync(fd);
      if (!sound) dropDamaged(digest);
      throw sizeMismatch(digest, actual, size);
    },
    list() {
      return readdirSync(root.blobsDir).flatMap((name) => {
        const digest: Digest = `sha256:${name}`;
        const size = DIGEST.test(digest) ? peek(digest) : undefined;
        return size === undefined ? [] : [{ digest, size }];
      });
    },
  };
}

function holds(path: string, bytes: Uint8Array): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.size !== bytes.length) return false;
  try {
    return readFileSync(path).equals(bytes);
  } catch (error) {
    // Dropped by another process since the stat.
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function open(path: string, digest: Digest): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new OcibuildError('BLOB_NOT_FOUND', `Cannot read blob "${digest}": it is not in the store`, {
      details: { digest },
      cause: error,
    });
  }
}

function verifiedStream(
  fd: number,
  { digest, size, onBad }: { digest: Digest; size: number; onBad: () => void },
): Readable {
  const hasher = createHash('sha256');
  let seen = 0;
  // An fd that is closed under a read of the thread pool may be another file's by the time the read runs.
  let reading = false;
  let closed: (() => void) | undefined;
  return new Readable({
    highWaterMark: CHUNK,
    read() {
      // One byte more than expected, so that a blob that grew is noticed.
      const want = Math.min(CHUNK, size - seen + 1);
      reading = true;
      read(fd, Buffer.allocUnsafe(want), 0, want, null, (error, count, buffer) => {
        reading = false;
        if (closed !== undefined) return closed();
        if (error !== null) return this.destroy(error);
        seen += count;
        if (count > 0 && seen <= size) {
          const chunk = buffer.subarray(0, count);
          hasher.update(chunk);
          return void this.push(chunk);
        }
        const bad =
          seen === size
            ? `sha256:${hasher.digest('hex')}` === digest
              ? undefined
              : digestMismatch(digest)
            : sizeMismatch(digest, seen, size);
        if (bad === undefined) return void this.push(null);
        onBad();
        return this.destroy(bad);
      });
    },
    destroy(error, callback) {
      const close = (): void => {
        closeSync(fd);
        callback(error);
      };
      if (reading) closed = close;
      else close();
    },
  });
}

function digestOfFile(fd: number): Digest {
  const hasher = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (;;) {
    const count = readSync(fd, buffer, 0, CHUNK, null);
    if (count === 0) return `sha256:${hasher.digest('hex')}`;
    hasher.update(buffer.subarray(0, count));
  }
}

function sizeMismatch(digest: Digest, actual: number, expected: number): OcibuildError {
  const numbers = new Intl.NumberFormat('en-US');
  return new OcibuildError(
    'BLOB_SIZE_MISMATCH',
    `Cannot use blob "${digest}": got ${numbers.format(actual)} B, expected ${numbers.format(expected)} B`,
    { details: { digest, actual, expected } },
  );
}

function digestMismatch(digest: Digest): OcibuildError {
  return new OcibuildError(
    'BLOB_DIGEST_MISMATCH',
    `Cannot use blob "${digest}": its content has another digest`,
    {
      hint: 'run the command again: the damaged copy is removed, and fetched or built anew',
      details: { digest },
    },
  );
}
