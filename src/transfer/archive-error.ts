import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';

export function invalidArchive(
  file: string,
  why: string,
  facts: { readonly hint?: string; readonly cause?: unknown } = {},
): OcibuildError {
  const message = `Cannot read the image archive "${file}": ${why}`;
  return new OcibuildError('ARCHIVE_INVALID', message, { details: { file }, ...facts });
}

/** A failed read of an archive as one of our errors. */
export function archiveError(error: unknown, file: string): unknown {
  if (isOcibuildError(error)) {
    if (error.code !== 'LAYER_INVALID') return error;
    return invalidArchive(file, error.message.replace(/^Cannot read the layer archive: /, ''), {
      cause: error,
    });
  }
  const errno = errnoOf(error);
  switch (errno) {
    case undefined:
      return error;
    case 'ENOENT':
      return invalidArchive(file, 'it does not exist', { cause: error });
    case 'ENOSPC':
    case 'EDQUOT':
      return new OcibuildError('DISK_FULL', `Cannot decompress "${file}": no space left on the device`, {
        hint: 'free space, or set TMPDIR to a directory on another disk',
        cause: error,
      });
    default:
      return invalidArchive(
        file,
        /^(?:Z_|ZSTD_|ERR_ZSTD)/.test(errno) ? 'its compressed data is damaged' : errno,
        { cause: error },
      );
  }
}
