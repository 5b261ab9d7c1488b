/** A file system in memory: making and deleting a hundred thousand small files costs a fraction of what a disk takes. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface MemoryDisk extends Disposable {
  /** Everybody may enter it, root may write. */
  readonly dir: string;
}

/** Mounts one; only root can. Disposing of it deletes what it holds. */
export function mountMemoryDisk(): MemoryDisk {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-memory-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'ocibuild-test', dir]);
  return {
    dir,
    [Symbol.dispose]() {
      // What ended a moment ago may still have a file open in it.
      execFileSync('umount', ['--lazy', dir]);
      rmdirSync(dir);
    },
  };
}
