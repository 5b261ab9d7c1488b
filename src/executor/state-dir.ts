import { closeSync, fstatSync, mkdirSync, openSync, rmdirSync, statSync } from 'node:fs';
import { loadKoffi, type NativeCall } from '../layer/sys.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** @see flock(2) */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Others come and go; where no directory can be made at all, that is said. */
const MAX_TRIES = 100;

/**
 * Makes the directory where the runtime keeps its state, and takes it away with the last process that works in it. Each
 * holds a shared lock meanwhile, which ends with the process however it ends: without it, a runtime that is just being
 * started would lose the directory between two of its own calls.
 * @returns lets go of it
 */
export function holdStateDir(dir: string): () => void {
  const flock: NativeCall = loadKoffi().load(null).func('flock', 'int', ['int', 'int']);
  for (let tries = 1; ; tries++) {
    const fd = openNew(dir, tries === MAX_TRIES);
    if (fd === undefined) continue;
    // File systems without locks keep the directory.
    const isLocked = flock(fd, LOCK_SH) === 0;
    // Who was last may have removed it since it was opened.
    if (statSync(dir, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) {
      closeSync(fd);
      continue;
    }
    return () => {
      if (isLocked && flock(fd, LOCK_EX | LOCK_NB) === 0) removeIfEmpty(dir);
      closeSync(fd);
    };
  }
}

/** Undefined where the last user has taken it away meanwhile: between two calls, or inside of Node's mkdir. */
function openNew(dir: string, last: boolean): number | undefined {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o711 });
    return openSync(dir, 'r');
  } catch (error) {
    if (!last && errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function removeIfEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // Somebody's container is left in it.
  }
}
