import { realpathSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../util/atomic-fs.ts';
import { readText } from '../util/read-text.ts';
import { mountsBelow, unmount } from './mounts.ts';

/** On a machine under load a directory was seen to be busy, rarely, after all was unmounted; why is not known. */
const BUSY_TRIES = 100;
const BUSY_WAIT_MS = 20;
const NEVER = new Int32Array(new SharedArrayBuffer(4));

/**
 * Removes the directory of a container whose mounts were taken away, in the thread that made them. Where its root is
 * mounted all the same, nothing in it is touched.
 * @throws EBUSY
 */
export function removeBundle(bundle: string): void {
  const dir = realpathSync(bundle);
  for (let tries = 1; ; tries++) {
    for (const point of mountsBelow(dir, readText('/proc/thread-self/mountinfo') ?? '')) unmount(point);
    try {
      // First and alone: it cannot walk into a root, as rm would, and its error says what is busy.
      removeEmpty(join(dir, 'rootfs'));
      rmSync(dir, { recursive: true, force: true });
      return;
    } catch (error) {
      if (!isBusy(error) || tries === BUSY_TRIES) throw error;
      Atomics.wait(NEVER, 0, 0, BUSY_WAIT_MS);
    }
  }
}

function removeEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch (error) {
    // A mount point is busy, whatever it shows: what is not empty is none.
    if (!['ENOENT', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error;
  }
}

/** Errors of Node's rm have no errno. */
function isBusy(error: unknown): boolean {
  return errnoOf(error) === 'EBUSY' || (error instanceof Error && /resource busy/i.test(error.message));
}
