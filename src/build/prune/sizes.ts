import { OcibuildError } from '../../errors/error.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `20GB`, `512m`, or a part of the disk: `10%`. Gives bytes. @throws USAGE_INVALID */
export function parseSpace(name: string, text: string, diskBytes: number): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:(%)|([kmgt]?)(?:i?b)?)$/i.exec(text.trim());
  const number = Number(match?.[1]);
  if (match?.[2] === '%' && number <= 100) return Math.floor((diskBytes * number) / 100);
  const bytes = Math.floor(number * (UNITS[match?.[3]?.toLowerCase() ?? ''] ?? 1));
  if (match !== null && match[2] === undefined && Number.isSafeInteger(bytes)) return bytes;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use ${name} "${text}": expected a size such as 20GB or 10%`,
  );
}
