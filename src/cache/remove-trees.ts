import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';

/** Arguments of one `rm`: far below the kernel's limit of 2 MiB. */
const BATCH = 500;

/**
 * Deletes directory trees. A child process does it, so that a command can end while a gigabyte is still being
 * deleted; if that child dies too, the next process that opens the store finds the rest in `trash/`.
 */
export async function removeTrees(paths: readonly string[], wait: boolean): Promise<void> {
  for (let start = 0; start < paths.length; start += BATCH) {
    const batch = paths.slice(start, start + BATCH);
    const done = process.platform === 'win32' ? false : await removeByChild(batch, wait);
    if (done) continue;
    for (const path of batch) await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

function removeByChild(paths: readonly string[], wait: boolean): Promise<boolean> {
  return new Promise((done) => {
    const child = spawn('rm', ['-rf', '--', ...paths], { stdio: 'ignore', detached: !wait });
    child.once('error', () => done(false));
    if (wait) {
      child.once('exit', (code) => done(code === 0));
    } else {
      child.once('spawn', () => {
        child.unref();
        done(true);
      });
    }
  });
}
