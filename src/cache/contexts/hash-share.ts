import type { FileToHash } from './hash-file.ts';

/** A list of files that several threads hash together; every thread takes the next one. */
export interface HashWork {
  /** Joined by NUL: one string crosses threads quicker than 50,000. */
  readonly paths: string;
  /** size, mtimeMs, ctimeMs of each file. */
  readonly facts: Float64Array;
  /** Number of the next file. */
  readonly next: Int32Array<SharedArrayBuffer>;
  /** 32 bytes for each file. */
  readonly digests: Uint8Array<SharedArrayBuffer>;
}

export function createHashWork(files: readonly FileToHash[]): HashWork {
  const facts = new Float64Array(files.length * 3);
  for (const [i, file] of files.entries()) facts.set([file.size, file.mtimeMs, file.ctimeMs], i * 3);
  return {
    paths: files.map((file) => file.path).join('\0'),
    facts,
    next: new Int32Array(new SharedArrayBuffer(4)),
    digests: new Uint8Array(new SharedArrayBuffer(files.length * 32)),
  };
}

/** Gives a function that hashes one more file, and says false when none is left. */
export function hashShare(work: HashWork, hashFile: (file: FileToHash) => Buffer): () => boolean {
  const paths = work.paths.split('\0');
  const { facts, next, digests } = work;
  const count = facts.length / 3;
  return () => {
    const i = Atomics.add(next, 0, 1);
    if (i >= count) return false;
    const [size = 0, mtimeMs = 0, ctimeMs = 0] = facts.subarray(i * 3, i * 3 + 3);
    digests.set(hashFile({ path: paths[i] ?? '', size, mtimeMs, ctimeMs }), i * 32);
    return true;
  };
}
