import { describe, expect, it } from 'vitest';
import type { RemoteSource } from '../../../../src/build/inputs/remote-sources.ts';
import { EMPTY_LOCK, type Lock } from '../../../../src/build/lock/lock-file.ts';
import { lockedFiles, lockedImage, lockedImageGone } from '../../../../src/build/lock/locked.ts';
import { isOcibuildError, OcibuildError } from '../../../../src/errors/error.ts';
import type { Digest } from '../../../../src/image/types.ts';
import type { GitSource, HttpSource } from '../../../../src/llb/ops.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const COMMIT = 'c'.repeat(40);
const HTTP: HttpSource = { type: 'http', url: 'https://x.example/f', filename: 'f', mode: 0o600 };
const GIT: GitSource = { type: 'git', remote: 'https://x.example/r.git', ref: 'main' };
const signal = new AbortController().signal;

const held = (lock: Partial<Lock>) => ({ file: 'Dockerfile.lock', lock: { ...EMPTY_LOCK, ...lock } });

/** Opens a source under a lock; gives the source that was asked for then. */
async function open(lock: Partial<Lock>, source: RemoteSource, failure?: Error): Promise<RemoteSource[]> {
  const asked: RemoteSource[] = [];
  const files = lockedFiles(held(lock), (each) => {
    asked.push(each);
    const answer = async () => {
      if (failure !== undefined) throw failure;
      return [];
    };
    return { identity: answer, open: answer as never };
  })(source);
  await files.identity?.(signal);
  await files.open(signal);
  return asked;
}

async function failureOf(promise: Promise<unknown>): Promise<OcibuildError> {
  const error: unknown = await promise.catch((caught: unknown) => caught);
  if (!isOcibuildError(error)) throw new RangeError(`no error of ours: ${String(error)}`);
  return error;
}

describe('lockedFiles()', () => {
  it('asks for the content of the lock when a source does not say which it means', async () => {
    expect(await open({ urls: { [HTTP.url]: digest('a') } }, HTTP)).toEqual([
      { ...HTTP, checksum: digest('a') },
    ]);
    expect(await open({ git: { 'https://x.example/r.git#main': COMMIT } }, GIT)).toEqual([
      { ...GIT, ref: COMMIT },
    ]);
  });

  it('leaves alone what says itself which content it means', async () => {
    const pinned = { ...HTTP, checksum: `sha512:${'0'.repeat(128)}` };
    expect(await open({}, pinned)).toEqual([pinned]);
    expect(await open({}, { ...GIT, ref: COMMIT })).toEqual([{ ...GIT, ref: COMMIT }]);
    expect(await open({}, { type: 'archive', digest: digest('a') })).toHaveLength(1);
  });

  it.each<[string, RemoteSource, RegExp]>([
    ['URL', HTTP, /the URL "https:\/\/x.example\/f": it is not in the lock file "Dockerfile.lock"/],
    ['git source', GIT, /the git source "https:\/\/x.example\/r.git#main": it is not in/],
  ])('refuses a %s that the lock does not have', async (_kind, source, message) => {
    const error = await failureOf(open({}, source));
    expect([error.code, error.message, error.hint]).toEqual([
      'LOCK_OUTDATED',
      expect.stringMatching(message),
      expect.stringContaining('`ocibuild lock`'),
    ]);
  });

  it('names the lock when the content is another one', async () => {
    const mismatch = new OcibuildError('CHECKSUM_MISMATCH', 'Cannot use it');
    const lock = { urls: { [HTTP.url]: digest('a') }, git: { 'https://x.example/r.git#main': COMMIT } };
    const error = await failureOf(open(lock, HTTP, mismatch));
    expect([error.code, error.cause]).toEqual(['LOCK_OUTDATED', mismatch]);
    const gone = new OcibuildError('GIT_REF_NOT_FOUND', 'Cannot find it');
    expect((await failureOf(open(lock, GIT, gone))).code).toBe('LOCK_OUTDATED');
    const other = new OcibuildError('DOWNLOAD_FAILED', 'Cannot reach it');
    expect(await failureOf(open(lock, HTTP, other))).toBe(other);
  });
});

describe('lockedImage()', () => {
  it('gives the digest of the lock, and refuses what is not in it', () => {
    const lock = held({ images: { 'docker.io/library/a:1': digest('a') } });
    expect(lockedImage(lock, 'docker.io/library/a:1')).toBe(digest('a'));
    expect(() => lockedImage(lock, 'docker.io/library/b:1')).toThrow(
      /the image "docker.io\/library\/b:1": it is not in the lock file/,
    );
  });

  it('tells apart what is gone from what cannot be reached', () => {
    const gone = new OcibuildError('REGISTRY_NOT_FOUND', 'Cannot find it');
    expect(lockedImageGone(held({}), 'x', gone)).toMatchObject({ code: 'LOCK_OUTDATED', cause: gone });
    const away = new OcibuildError('REGISTRY_UNREACHABLE', 'Cannot reach it');
    expect(lockedImageGone(held({}), 'x', away)).toBe(away);
  });
});
