import { lstatSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ImageConfig } from '../../src/image/types.ts';
import type { ImageCheck } from './types.ts';

/** Gives one line for each field of the config that is not as the case says. */
export function checkConfig(image: ImageConfig, check: ImageCheck): string[] {
  const config = (image.config ?? {}) as Record<string, unknown>;
  return Object.entries(check.config ?? {})
    .filter(([key, want]) => !isDeepStrictEqual(config[key] ?? null, want))
    .map(([key, want]) => `${key}: ${JSON.stringify(config[key])} instead of ${JSON.stringify(want)}`);
}

/** The same for paths of the image, unpacked at `rootfs`. */
export function checkFiles(rootfs: string, check: ImageCheck): string[] {
  return Object.entries(check.files ?? {}).flatMap(([path, want]) => {
    const got = describe(join(rootfs, path));
    return got.includes(want) ? [] : [`${path}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`];
  });
}

/** `file 644 0:0` and the text of a file, `symlink -> /target`, or null where there is nothing. */
function describe(path: string): (string | null)[] {
  const stats: Stats | undefined = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return [null];
  if (stats.isSymbolicLink()) return [`symlink -> ${readlinkSync(path)}`];
  const facts = `${(stats.mode & 0o7777).toString(8)} ${stats.uid}:${stats.gid}`;
  if (stats.isDirectory()) return [`dir ${facts}`];
  return stats.size > 4096 ? [`file ${facts}`] : [`file ${facts}`, readFileSync(path, 'utf8')];
}
