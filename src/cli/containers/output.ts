import { once } from 'node:events';
import { OcibuildError } from '../../errors/error.ts';
import type { CliContext } from '../types.ts';

/** Where the output of a container goes. */
export interface ContainerOutput {
  /** Settles once more can be taken; undefined where it can at once. */
  write(stream: 'stdout' | 'stderr', data: Uint8Array): Promise<void> | undefined;
  /** Aborted when nobody reads any more (`| head`). */
  readonly gone: AbortSignal;
}

/** Our own stdout and stderr, written no faster than they are read. */
export function openOutput({ stdout, stderr }: Pick<CliContext, 'stdout' | 'stderr'>): ContainerOutput {
  const gone = new AbortController();
  const { signal } = gone;
  for (const stream of [stdout, stderr]) {
    stream.once('error', () => {
      gone.abort(new OcibuildError('CANCELLED', 'Cannot go on: nobody reads the output any more'));
    });
  }
  // One wait for all that comes meanwhile.
  const waits = new Map<NodeJS.WriteStream, Promise<void>>();
  return {
    gone: signal,
    write(name, data) {
      const stream = name === 'stdout' ? stdout : stderr;
      if (stream.write(data) || signal.aborted) return undefined;
      const wait =
        waits.get(stream) ??
        once(stream, 'drain', { signal })
          .catch(() => undefined)
          .then(() => void waits.delete(stream));
      waits.set(stream, wait);
      return wait;
    },
  };
}
