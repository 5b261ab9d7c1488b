import { constants } from 'node:os';

/** `SIGKILL` for 9; `signal 64` where it has no name. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
