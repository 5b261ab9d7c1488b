import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** Typed form of a failed write: DISK_FULL, or SYSCALL_FAILED with `details.errno`; typed errors pass unchanged. */
export function writeError(error: unknown, action: string, path: string): OcibuildError {
  if (isOcibuildError(error)) return error;
  const errno = errnoOf(error) ?? '';
  const details = { path, errno };
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new OcibuildError('DISK_FULL', `Cannot ${action} "${path}": no space left on the device`, {
      details,
      cause: error,
      hint: 'free space, or choose another disk',
    });
  }
  return new OcibuildError('SYSCALL_FAILED', `Cannot ${action} "${path}": ${errno || String(error)}`, {
    details,
    cause: error,
  });
}

/** Typed form of a failed read of a file that a build takes in. */
export function readError(error: unknown, path: string): OcibuildError {
  if (isOcibuildError(error)) return error;
  const errno = errnoOf(error) ?? '';
  if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO'].includes(errno)) {
    return changedError(path, 'it is gone or no regular file any more', error);
  }
  return new OcibuildError('CONTEXT_UNREADABLE', `Cannot read "${path}": ${errno || String(error)}`, {
    details: { path, errno },
    cause: error,
  });
}

/** Does one read of a file that a build takes in. @throws CONTEXT_CHANGED, CONTEXT_UNREADABLE */
export function reading<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw readError(error, path);
  }
}

export function changedError(path: string, what: string, cause?: unknown): OcibuildError {
  return new OcibuildError('CONTEXT_CHANGED', `Cannot use "${path}": ${what}`, {
    details: { path },
    hint: 'the file changed while the build read it; run the build again',
    ...(cause === undefined ? {} : { cause }),
  });
}
