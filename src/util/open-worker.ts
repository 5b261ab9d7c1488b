import { existsSync, readlinkSync } from 'node:fs';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { OcibuildError } from '../errors/error.ts';
import { workerUrl } from './worker-url.ts';

/** What the kernel adds to the name of a directory that is gone. */
const DELETED = ' (deleted)';

/**
 * Starts the thread whose code is in `file`, a module beside the caller, whose `import.meta.url` is `base`.
 * @throws SYSCALL_FAILED where the current directory is gone
 */
export function openWorker(base: string, file: string, options: WorkerOptions): Worker {
  enterAgain();
  return new Worker(workerUrl(base, file), options);
}

/** Node starts no thread in a directory that was deleted. A watch may stand in one: it is entered once more where it was
 * made again under its name. */
function enterAgain(): void {
  if (process.platform !== 'linux') return;
  const link = readlinkSync('/proc/self/cwd');
  // A directory may be called so.
  if (!link.endsWith(DELETED) || existsSync(link)) return;
  const dir = link.slice(0, -DELETED.length);
  try {
    process.chdir(dir);
  } catch (cause) {
    throw new OcibuildError(
      'SYSCALL_FAILED',
      `Cannot start a thread: the current directory "${dir}" is gone`,
      {
        cause,
        hint: 'make it again, or run the command in another directory',
      },
    );
  }
}
