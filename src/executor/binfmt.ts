import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readText } from '../util/read-text.ts';

/** One entry of binfmt_misc: programs that begin so go to an interpreter. */
export interface BinfmtHandler {
  readonly name: string;
  readonly interpreter: string;
  /** Opened when it was registered, so it need not be in the root of the program. */
  readonly isFixed: boolean;
  readonly offset: number;
  readonly magic: Buffer;
  readonly mask: Buffer;
}

/** The enabled handlers of a mounted binfmt_misc that look at a file's first bytes; none where it is not mounted. */
export function readHandlers(dir: string): BinfmtHandler[] {
  if (!existsSync(join(dir, 'register'))) return [];
  if (readText(join(dir, 'status'))?.startsWith('enabled') !== true) return [];
  return readdirSync(dir)
    .filter((name) => name !== 'register' && name !== 'status')
    .flatMap((name) => parseHandler(name, readText(join(dir, name)) ?? '') ?? []);
}

/** Reads the text of an entry. Undefined for one that is off or that looks at file name extensions. */
export function parseHandler(name: string, text: string): BinfmtHandler | undefined {
  const value = (key: string): string => new RegExp(`^${key}:? (.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
  const magic = Buffer.from(value('magic'), 'hex');
  if (!text.startsWith('enabled') || magic.length === 0) return undefined;
  const mask = Buffer.from(value('mask'), 'hex');
  return {
    name,
    interpreter: value('interpreter'),
    isFixed: value('flags').includes('F'),
    offset: Number(value('offset')),
    magic,
    mask: mask.length === magic.length ? mask : Buffer.alloc(magic.length, 0xff),
  };
}

/** Whether a program with these first bytes is the handler's. */
export function handles({ offset, magic, mask }: BinfmtHandler, head: Buffer): boolean {
  return magic.every((byte, i) => {
    const own = head[offset + i];
    const bits = mask[i] ?? 0xff;
    return own !== undefined && (own & bits) === (byte & bits);
  });
}
