import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** A failed write of a result as one of our errors; what is no system error stays as it is. */
export function exportError(error: unknown, dest: string): unknown {
  if (isOcibuildError(error)) return error;
  const errno = errnoOf(error);
  const facts = { details: { dest, errno }, cause: error };
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new OcibuildError('DISK_FULL', `Cannot export to "${dest}": no space left on the device`, {
        ...facts,
        hint: 'free space, or choose a destination on another disk',
      });
    case 'EPIPE':
    case 'ERR_STREAM_DESTROYED':
      return new OcibuildError('EXPORT_FAILED', `Cannot export to "${dest}": its reader has gone`, facts);
    case 'ENOTDIR':
      return targetError(dest, 'a part of its path is a file', facts.cause);
    case 'ENOENT':
      return targetError(dest, 'its directory does not exist', facts.cause);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return targetError(dest, 'it is not writable', facts.cause);
    case 'EEXIST':
      return targetError(dest, 'a file of that name is in the way', facts.cause);
    case 'EISDIR':
      return targetError(dest, 'it is a directory', facts.cause);
    case undefined:
      return error;
    default:
      return new OcibuildError('EXPORT_FAILED', `Cannot export to "${dest}": ${errno}`, facts);
  }
}

export function targetError(dest: string, why: string, cause?: unknown): OcibuildError {
  return new OcibuildError('EXPORT_TARGET_INVALID', `Cannot export to "${dest}": ${why}`, {
    details: { dest },
    ...(cause === undefined ? {} : { cause }),
  });
}
