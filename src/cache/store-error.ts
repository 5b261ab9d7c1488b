import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import type { LayerId } from '../layer/layer-id.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** A failed write in the store as one of our errors; what is neither a full nor a locked disk stays as it is. */
export function storeError(error: unknown, path: string): unknown {
  if (isOcibuildError(error)) return error;
  switch (errnoOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new OcibuildError('DISK_FULL', `Cannot write "${path}": no space left on the device`, {
        hint: 'free space (`ocibuild prune`), or choose another disk with --root',
        details: { path },
        cause: error,
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new OcibuildError('STORE_NOT_WRITABLE', `Cannot write to the store: "${path}" is not writable`, {
        hint: 'choose a directory of yours with --root or OCIBUILD_ROOT',
        details: { path },
        cause: error,
      });
    default:
      return error;
  }
}

/** A failed read in the store as one of our errors. */
export function readError(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === 'ENOTDIR') {
    return new OcibuildError(
      'STORE_INVALID',
      `Cannot read "${path}": a file stands where a directory is needed`,
      {
        hint: 'choose another directory with --root or OCIBUILD_ROOT',
        details: { path },
        cause: error,
      },
    );
  }
  if (errno !== 'EACCES' && errno !== 'EPERM') return error;
  return new OcibuildError('STORE_NOT_READABLE', `Cannot read the store: "${path}" belongs to another user`, {
    hint: 'run the command as its owner, or choose a directory of yours with --root or OCIBUILD_ROOT',
    details: { path },
    cause: error,
  });
}

/** A layer of which no form is left. */
export function layerUnavailable(id: LayerId): OcibuildError {
  return new OcibuildError(
    'LAYER_UNAVAILABLE',
    `Cannot use the layer "${id}": it is no longer in the store`,
    {
      details: { layer: id },
      hint: 'build again with `--no-cache`, or pull the base image again with `--pull`',
    },
  );
}
