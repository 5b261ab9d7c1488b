import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { locate } from './in-root.ts';
import type { SandboxMount } from './types.ts';

/**
 * Gives new volumes what the mounted root has at their place, with owner and mode of the directory itself, as Docker
 * does. cp(1) runs as a child of this thread: nobody else sees the root.
 * @throws MOUNT_INVALID
 */
export function fillVolumes(root: string, mounts: readonly SandboxMount[]): void {
  for (const { copyUp, source, target } of mounts) {
    if (copyUp !== true || source === undefined || readdirSync(source).length > 0) continue;
    const { existing, missing } = locate(root, target);
    const from = join(root, existing);
    if (missing.length > 0 || !statSync(from).isDirectory()) continue;
    try {
      execFileSync('cp', ['-a', '--reflink=auto', '--', `${from}/.`, source], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    } catch (cause) {
      throw new OcibuildError('MOUNT_INVALID', `Cannot fill the volume on "${target}" from the image`, {
        cause,
        details: { target, source },
      });
    }
  }
}
