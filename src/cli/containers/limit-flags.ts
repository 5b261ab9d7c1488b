import { OcibuildError } from '../../errors/error.ts';
import type { ContainerLimits } from '../../executor/types.ts';
import { parseSize } from '../build/run-flags.ts';
import { flagReader } from '../flags/parse-args.ts';
import type { ParsedArgs } from '../flags/types.ts';

/** Seconds and the like: zero or more. @throws USAGE_INVALID */
export function readNumber(flag: string, text: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= 0) return number;
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${flag} "${text}": expected a number`);
}

/** The limits that `run` was asked for; 0 and -1 are none. @throws USAGE_INVALID */
export function readLimits(parsed: ParsedArgs): ContainerLimits {
  const { text } = flagReader(parsed);
  const limit = <T>(flag: string, read: (name: string, value: string) => T): T | undefined => {
    const value = text(flag);
    return value === undefined || value === '0' || value === '-1' ? undefined : read(`--${flag}`, value);
  };
  const swap = text('memory-swap');
  const limits = {
    memoryBytes: limit('memory', parseSize),
    memoryReservationBytes: limit('memory-reservation', parseSize),
    memorySwapBytes: swap === '-1' ? -1 : limit('memory-swap', parseSize),
    cpus: limit('cpus', readNumber),
    cpuShares: limit('cpu-shares', readWhole),
    cpuPeriodUs: limit('cpu-period', readWhole),
    cpuQuotaUs: limit('cpu-quota', readWhole),
    cpuset: readSet('--cpuset-cpus', text('cpuset-cpus')),
    memoryNodes: readSet('--cpuset-mems', text('cpuset-mems')),
    pids: limit('pids-limit', readNumber),
  };
  const { memoryBytes = Number.POSITIVE_INFINITY, memorySwapBytes = -1, memoryReservationBytes = 0 } = limits;
  if (memoryBytes !== Number.POSITIVE_INFINITY && memorySwapBytes !== -1 && memorySwapBytes < memoryBytes) {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --memory-swap "${swap}": it is less than --memory`, {
      hint: 'it is the sum of memory and swap',
    });
  }
  if (memoryReservationBytes > memoryBytes)
    throw new OcibuildError('USAGE_INVALID', 'Cannot use --memory-reservation: it is more than --memory');
  if (limits.cpus !== undefined && (limits.cpuPeriodUs ?? limits.cpuQuotaUs) !== undefined)
    throw new OcibuildError('USAGE_INVALID', 'Cannot use --cpus together with --cpu-period or --cpu-quota');
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}

function readWhole(flag: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${flag} "${text}": expected a whole number`);
}

function readSet(flag: string, text: string | undefined): string | undefined {
  if (text === undefined || text === '' || /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) return text || undefined;
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${flag} "${text}": expected numbers as 0-2,4`);
}
