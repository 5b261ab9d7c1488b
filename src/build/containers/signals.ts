import { constants } from 'node:os';
import { OcibuildError } from '../../errors/error.ts';

/** First of the real-time signals that glibc leaves to programs. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Number of a signal: `SIGTERM`, `term`, `15`, `RTMIN+3`. @throws USAGE_INVALID */
export function parseSignal(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : byName(text.toUpperCase().replace(/^SIG/, ''));
  if (number !== undefined && number >= 1 && number <= SIGRTMAX) return number;
  throw new OcibuildError('USAGE_INVALID', `Cannot send the signal "${text}": there is none of that name`, {
    hint: 'write for example TERM, SIGKILL or 9',
  });
}

function byName(name: string): number | undefined {
  const [, base, sign, offset = '0'] = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name) ?? [];
  if (base !== undefined) {
    return (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + (sign === '-' ? -Number(offset) : Number(offset));
  }
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return Object.hasOwn(numbers, `SIG${name}`) ? numbers[`SIG${name}`] : undefined;
}
