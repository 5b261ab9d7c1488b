import { describe, expect, it } from 'vitest';
import {
  diffLocks,
  EMPTY_LOCK,
  formatLock,
  gitEntry,
  imageEntry,
  type Lock,
  parseLock,
  urlEntry,
} from '../../../../src/build/lock/lock-file.ts';
import type { Digest } from '../../../../src/image/types.ts';
import type { GitSource, HttpSource } from '../../../../src/llb/ops.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const COMMIT = 'a'.repeat(40);

const LOCK: Lock = {
  images: { 'docker.io/library/b:1': digest('b'), 'docker.io/library/a:1': digest('a') },
  urls: { 'https://x.example/f': digest('c') },
  git: { 'https://x.example/r.git#main': COMMIT },
};

describe('formatLock()', () => {
  it('writes one entry a line, sorted, and without empty sections', () => {
    expect(formatLock({ ...LOCK, git: {} })).toBe(`{
  "version": 1,
  "images": {
    "docker.io/library/a:1": "${digest('a')}",
    "docker.io/library/b:1": "${digest('b')}"
  },
  "urls": {
    "https://x.example/f": "${digest('c')}"
  }
}
`);
  });

  it('is read back as the same lock', () => {
    expect(parseLock(formatLock(LOCK), 'Dockerfile.lock')).toEqual(LOCK);
    expect(parseLock(formatLock(EMPTY_LOCK), 'Dockerfile.lock')).toEqual(EMPTY_LOCK);
  });
});

describe('parseLock()', () => {
  it.each<[string, RegExp]>([
    ['', /it is not JSON/],
    ['<<<<<<< HEAD', /it is not JSON/],
    ['[]', /it is not an object/],
    ['{}', /its version is undefined/],
    ['{"version":2}', /its version is 2, this version of ocibuild reads 1/],
    ['{"version":1,"images":[]}', /"images" is not an object/],
    ['{"version":1,"images":{"a":"latest"}}', /"a" has the value "latest"/],
    ['{"version":1,"urls":{"u":1}}', /"u" has the value 1/],
    ['{"version":1,"git":{"r":"main"}}', /"r" has the value "main"/],
  ])('refuses %j', (text, message) => {
    expect(() => parseLock(text, 'app.lock')).toThrow(message);
    expect(() => parseLock(text, 'app.lock')).toThrow(expect.objectContaining({ code: 'LOCK_INVALID' }));
  });
});

describe('diffLocks()', () => {
  it('gives what is new, gone and changed, by kind and name', () => {
    const after: Lock = {
      images: { 'docker.io/library/a:1': digest('e'), 'docker.io/library/c:1': digest('c') },
      urls: LOCK.urls,
      git: {},
    };
    expect(diffLocks(LOCK, after)).toEqual([
      { kind: 'image', name: 'docker.io/library/a:1', before: digest('a'), after: digest('e') },
      { kind: 'image', name: 'docker.io/library/b:1', before: digest('b') },
      { kind: 'image', name: 'docker.io/library/c:1', after: digest('c') },
      { kind: 'git', name: 'https://x.example/r.git#main', before: COMMIT },
    ]);
    expect(diffLocks(LOCK, LOCK)).toEqual([]);
  });
});

describe('entries of a lock', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:latest'],
    ['localhost:5000/x/y:v1', 'localhost:5000/x/y:v1'],
    [`busybox@${digest('a')}`, undefined],
    [`busybox:1@${digest('a')}`, undefined],
  ])('imageEntry() of %s is %s', (name, entry) => {
    expect(imageEntry(name)).toBe(entry);
  });

  it('urlEntry() hides credentials, and has none for what is pinned by a checksum', () => {
    const source: HttpSource = {
      type: 'http',
      url: 'https://u:p@x.example/f?v=1',
      filename: 'f',
      mode: 0o600,
    };
    expect(urlEntry(source)).toBe('https://***@x.example/f?v=1');
    expect(urlEntry({ ...source, checksum: digest('a') })).toBeUndefined();
  });

  it.each<[Partial<GitSource>, string | undefined]>([
    [{}, 'https://x.example/r.git'],
    [{ ref: 'v1', subdir: 'd' }, 'https://x.example/r.git#v1'],
    [{ ref: COMMIT }, undefined],
    [{ ref: 'v1', checksum: COMMIT }, undefined],
    [{ ref: 'v1', checksum: COMMIT.slice(0, 12) }, 'https://x.example/r.git#v1'],
  ])('gitEntry() of %j is %s', (parts, entry) => {
    expect(gitEntry({ type: 'git', remote: 'https://x.example/r.git', ...parts })).toBe(entry);
  });
});
