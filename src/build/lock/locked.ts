import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { Digest } from '../../image/types.ts';
import type { ExternalFiles } from '../../solver/ops/types.ts';
import type { RemoteSource } from '../inputs/remote-sources.ts';
import { gitEntry, type Lock, urlEntry } from './lock-file.ts';

/** A lock that a build is held to. */
export interface HeldLock {
  /** As it is shown. */
  readonly file: string;
  readonly lock: Lock;
}

/** The digest that an image is held to. @throws LOCK_OUTDATED */
export function lockedImage({ lock, file }: HeldLock, entry: string): Digest {
  const digest = lock.images[entry];
  if (digest === undefined) throw missing(file, 'image', entry);
  return digest;
}

/** What a registry says of an image that it no longer has. */
export function lockedImageGone({ file }: HeldLock, entry: string, cause: unknown): unknown {
  if (!isOcibuildError(cause) || !['IMAGE_NOT_FOUND', 'REGISTRY_NOT_FOUND'].includes(cause.code))
    return cause;
  return outdated(
    file,
    `Cannot use the image "${entry}" as it is locked in "${file}": its registry has it no longer`,
    cause,
  );
}

/** Files of downloads and repositories as the lock names them: a download must have that content, a ref of a
 * repository stands for that commit, wherever it has moved since. */
export function lockedFiles(
  held: HeldLock,
  files: (source: RemoteSource) => ExternalFiles,
): (source: RemoteSource) => ExternalFiles {
  return (source) => {
    const pinned = lockedSource(held, source);
    const { identity, open } = files(pinned);
    const explained = async <T>(reading: Promise<T>): Promise<T> => {
      try {
        return await reading;
      } catch (error) {
        throw explain(held, source, error);
      }
    };
    return {
      ...(identity === undefined ? {} : { identity: (signal) => explained(identity(signal)) }),
      open: (signal) => explained(open(signal)),
    };
  };
}

/** A download or a repository as the lock names it. @throws LOCK_OUTDATED */
export function lockedSource({ lock, file }: HeldLock, source: RemoteSource): RemoteSource {
  if (source.type === 'http') {
    const entry = urlEntry(source);
    if (entry === undefined) return source;
    const checksum = lock.urls[entry];
    if (checksum === undefined) throw missing(file, 'URL', entry);
    return { ...source, checksum };
  }
  const entry = source.type === 'git' ? gitEntry(source) : undefined;
  if (source.type !== 'git' || entry === undefined) return source;
  const commit = lock.git[entry];
  if (commit === undefined) throw missing(file, 'git source', entry);
  return { ...source, ref: commit };
}

function explain({ file }: HeldLock, source: RemoteSource, error: unknown): unknown {
  if (!isOcibuildError(error)) return error;
  const entry = source.type === 'http' ? urlEntry(source) : undefined;
  if (entry !== undefined && error.code === 'CHECKSUM_MISMATCH') {
    return outdated(file, `Cannot add "${entry}": its content is not what is locked in "${file}"`, error);
  }
  const repository = source.type === 'git' ? gitEntry(source) : undefined;
  if (repository !== undefined && error.code === 'GIT_REF_NOT_FOUND') {
    const message = `Cannot use the git source "${repository}" as it is locked in "${file}": its commit is gone`;
    return outdated(file, message, error);
  }
  return error;
}

function missing(file: string, kind: string, entry: string): OcibuildError {
  return outdated(file, `Cannot use the ${kind} "${entry}": it is not in the lock file "${file}"`);
}

function outdated(file: string, message: string, cause?: unknown): OcibuildError {
  return new OcibuildError('LOCK_OUTDATED', message, {
    hint: 'bring the lock file up to date with `ocibuild lock` and the flags of this build, then look at what changed',
    details: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}
