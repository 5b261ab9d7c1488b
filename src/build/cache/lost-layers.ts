import type { FetchBlob, LayerOrigin, LayerRows } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { Digest } from '../../image/types.ts';

/** Where the fault is this machine's, another try elsewhere would not help. */
const OWN_FAULTS = ['CANCELLED', 'DISK_FULL', 'STORE_NOT_WRITABLE'];

export interface LostLayersDeps {
  readonly rows: LayerRows;
  readonly onLost: (digest: Digest, origin: LayerOrigin) => void;
}

/**
 * Forgets where a step's layer should be when it cannot be had from there: a registry may have deleted it. The error
 * then says that the build can be tried again, for the step can run. Base images are not made here, so theirs stay.
 */
export function forgettingLost(fetch: FetchBlob, { rows, onLost }: LostLayersDeps): FetchBlob {
  return (origin, descriptor, signal) => {
    const flight = fetch(origin, descriptor, signal);
    const { digest } = descriptor;
    const done = flight.done.catch((error: unknown) => {
      if (signal.aborted || (isOcibuildError(error) && OWN_FAULTS.includes(error.code))) throw error;
      onLost(digest, origin);
      const ids = rows.byBlob(digest).filter(({ id }) => !/^sha256:/.test(id));
      if (ids.length === 0) throw error;
      for (const { id } of ids) rows.update(id, { origin: null, blobDigest: null, blobSize: null });
      throw new OcibuildError('LAYER_UNAVAILABLE', `Cannot fetch the cached layer "${digest}"`, {
        details: { digest, lost: true },
        cause: error,
        hint: 'build again: the step that made it runs then',
      });
    });
    done.catch(() => undefined);
    return { ...flight, done };
  };
}

/** Whether the error is that of a layer that was forgotten. */
export function isLostLayer(error: unknown): boolean {
  return isOcibuildError(error) && error.code === 'LAYER_UNAVAILABLE' && error.details.lost === true;
}
