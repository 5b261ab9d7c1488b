import { isOcibuildError, OcibuildError } from '../errors/error.ts';

/** `code` of a Node error, or ''. */
export function errnoOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/** Typed form of a failed write: DISK_FULL, or SYSCALL_FAILED with `details.errno`; typed errors pass unchanged. */
export function writeError(error: unknown, action: string, path: string): OcibuildError {
  if (isOcibuildError(error)) return error;
  const errno = errnoOf(error);
  const details = { path, errno };
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new OcibuildError('DISK_FULL', `Cannot ${action} "${path}": no space left on the device`, {
      details,
      cause: error,
      hint: 'free disk space, for example with: ocibuild prune',
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
  const errno = errnoOf(error);
  if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO'].includes(errno)) {
    return changedError(path, 'it is gone or no regular file any more', error);
  }
  return new OcibuildError('CONTEXT_UNREADABLE', `Cannot read "${path}": ${errno || String(error)}`, {
    details: { path, errno },
    cause: error,
  });
}

export function changedError(path: string, what: string, cause?: unknown): OcibuildError {
  return new OcibuildError('CONTEXT_CHANGED', `Cannot use "${path}": ${what}`, {
    details: { path },
    hint: 'the file changed while the build read it; run the build again',
    ...(cause === undefined ? {} : { cause }),
  });
}
