import { statfsSync } from 'node:fs';
import { OcibuildError } from '../../errors/error.ts';
import { parseByteSize } from '../../util/byte-size.ts';
import type { DiskSpace } from './types.ts';

export function diskSpace(dir: string): DiskSpace {
  const { blocks, bavail, bsize } = statfsSync(dir);
  return { total: blocks * bsize, free: bavail * bsize };
}

/** `20GB`, `512m`, or a part of the disk: `10%`. Gives bytes. @throws USAGE_INVALID */
export function parseSpace(name: string, text: string, diskBytes: number): number {
  const percent = Number(/^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim())?.[1]);
  if (percent <= 100) return Math.floor((diskBytes * percent) / 100);
  const bytes = parseByteSize(text);
  if (bytes !== undefined) return bytes;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use ${name} "${text}": expected a size such as 20GB or 10%`,
  );
}
