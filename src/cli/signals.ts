import { exitCodeOf } from '../errors/codes.ts';
import { OcibuildError } from '../errors/error.ts';

/** Stops the work at the first SIGINT, SIGTERM or SIGHUP; a second SIGINT ends the process at once. */
export function stopOnSignals(process: NodeJS.Process, controller: AbortController): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted && name === 'SIGINT') process.exit(exitCodeOf('cancelled'));
      controller.abort(new OcibuildError('CANCELLED', `Cannot finish: interrupted by ${name}`));
    });
  }
}

/** A reader that goes away (`| head`) is no fault of ours; without a listener it would end the process. */
export function surviveClosedPipes(streams: readonly NodeJS.WriteStream[]): void {
  for (const stream of streams) stream.on('error', () => {});
}

/** What a terminal, a supervisor or a user may send to a command in the foreground. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** Hands signals on to a container, until the function that it gives is called. */
export function forwardSignals(process: NodeJS.Process, send: (name: string) => void): () => void {
  const listeners = FORWARDED.map((name) => {
    const listener = (): void => send(name);
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  return () => {
    for (const remove of listeners) remove();
  };
}
