/** A file system in memory: making and deleting a hundred thousand small files costs a fraction of what a disk takes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface MemoryDisk extends Disposable {
  /** Everybody may enter it, root may write. */
  readonly dir: string;
}

/**
 * Mounts one; only root can. Disposing of it deletes what it holds. Before Linux 6.6 a memory file system keeps no
 * attributes of users, which overlays without root need: there it is a directory of the disk.
 */
export function mountMemoryDisk(): MemoryDisk {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-memory-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'ocibuild-test', dir]);
  // What ended a moment ago may still have a file open in it.
  const unmount = (): unknown => execFileSync('umount', ['--lazy', dir]);
  const keepsAttributes = spawnSync('setfattr', ['-n', 'user.ocibuild', '-v', '1', dir]).status === 0;
  if (!keepsAttributes) {
    unmount();
    execFileSync('chmod', ['755', dir]);
  } else spawnSync('setfattr', ['-x', 'user.ocibuild', dir]);
  return {
    dir,
    [Symbol.dispose]() {
      if (keepsAttributes) unmount();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
