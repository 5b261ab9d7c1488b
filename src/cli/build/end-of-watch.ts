import { hangUpCheck } from '../../build/session/hang-up.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { CliContext } from '../types.ts';

const LOOK_MS = 1000;

export interface EndOfWatch {
  readonly signal: AbortSignal;
  /** The last words. */
  words(): string;
}

/** A watch also ends where its output goes nowhere any more. */
export function endOfWatch({ signal, stdout, stderr }: CliContext): EndOfWatch {
  const closed = new AbortController();
  let unread: string | undefined;
  const end = (name: string): void => {
    unread ??= name;
    closed.abort(new OcibuildError('CANCELLED', `Cannot go on: nobody reads ${name} any more`));
  };
  const streams: Readonly<Record<string, NodeJS.WriteStream & { readonly fd?: number }>> = { stdout, stderr };
  for (const [name, stream] of Object.entries(streams)) stream.on('error', () => end(name));
  // A pipe without a reader says so to who writes, and a watch at rest does not.
  const isHungUp = hangUpCheck();
  const timer = setInterval(() => {
    for (const [name, { fd }] of Object.entries(streams)) if (fd !== undefined && isHungUp(fd)) end(name);
  }, LOOK_MS).unref();
  const either = AbortSignal.any([signal, closed.signal]);
  either.addEventListener('abort', () => clearInterval(timer), { once: true });
  return {
    signal: either,
    words: () => (unread === undefined ? 'ended' : `ended: nobody reads ${unread} any more`),
  };
}
