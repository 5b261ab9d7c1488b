import { accessSync, constants } from 'node:fs';

/** A static binary. */
export const BUSYBOX: string = process.env.BUSYBOX ?? '/bin/busybox';

/** Why the corpus cannot be built here; undefined where it can. */
export function missingRequirement(busybox: string): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (process.arch !== 'x64') return 'the expected results are those of amd64';
  try {
    accessSync(busybox, constants.X_OK);
    return undefined;
  } catch {
    return `needs a static busybox at "${busybox}" or at BUSYBOX`;
  }
}
