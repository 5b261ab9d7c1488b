import { describe, expect, test } from 'vitest';
import { parseGitRef, parseHttpRef } from '../../../../src/frontend/parse/remote-ref.ts';

const REPO = 'https://git.test/team/app.git';
const COMMIT = '0123456789abcdef0123456789abcdef01234567';

describe('parseGitRef()', () => {
  test.each([
    [REPO, { remote: REPO }],
    [`${REPO}#main`, { remote: REPO, ref: 'main' }],
    [`${REPO}#main:sub/dir/`, { remote: REPO, ref: 'main', subdir: 'sub/dir' }],
    [`${REPO}#:/sub`, { remote: REPO, subdir: 'sub' }],
    [`${REPO}#v1:/`, { remote: REPO, ref: 'v1' }],
    [`${REPO}?tag=v1`, { remote: REPO, ref: 'refs/tags/v1' }],
    [`${REPO}?branch=main&subdir=a`, { remote: REPO, ref: 'refs/heads/main', subdir: 'a' }],
    [`${REPO}?ref=main&commit=${COMMIT}`, { remote: REPO, ref: 'main', checksum: COMMIT }],
    [`${REPO}?checksum=0123456#main`, { remote: REPO, ref: 'main', checksum: '0123456' }],
    [
      `${REPO}?keep-git-dir=1&submodules=false&mtime=commit&fetch-by-commit`,
      { remote: REPO, keepGitDir: true, submodules: false, mtime: 'commit', fetchByCommit: true },
    ],
    ['git://git.test/app', { remote: 'git://git.test/app' }],
    ['ssh://git@git.test:22/app', { remote: 'ssh://git@git.test:22/app', ssh: 'default' }],
    ['git@git.test:team/app#v1', { remote: 'git@git.test:team/app', ref: 'v1', ssh: 'default' }],
    ['github.com/team/app#v1', { remote: 'https://github.com/team/app', ref: 'v1' }],
  ])('reads %s', (text, expected) => {
    expect(parseGitRef(text, undefined)).toEqual({ type: 'git', ...expected });
  });

  test.each([
    '.',
    './app.git',
    '/srv/app.git',
    'app.git',
    'https://git.test/app',
    'https://git.test/app.git.tar',
    'docker-image://app',
    'http://git.test/a b.tar',
  ])('gives undefined when the text is %s', (text) => {
    expect(parseGitRef(text, undefined)).toBeUndefined();
  });

  test.each([
    ['?rev=1', 'does not know the key "rev"', 'did you mean "ref"?'],
    ['?submodule=0', 'does not know the key "submodule"', 'did you mean "submodules"?'],
    ['?ref=a#b', 'asks for ref "b" and for ref "a"', undefined],
    ['?tag=a&branch=a', 'asks for ref "refs/tags/a" and for ref "refs/heads/a"', undefined],
    ['?subdir=a#:b', 'asks for subdirectory "b" and for subdirectory "a"', undefined],
    ['?ref=a&ref=a', 'the key "ref" is there twice', undefined],
    ['?ref=', 'the key "ref" has no value', undefined],
    ['?commit=main', '"main" is no commit', undefined],
    ['?commit=0123456&checksum=1123456', 'asks for commit "0123456" and for commit "1123456"', undefined],
    ['?mtime=commits', '"mtime" is "commits"', 'did you mean "commit"?'],
    ['?keep-git-dir=maybe', '"keep-git-dir" is "maybe"', undefined],
  ])('fails when the address ends with %s', (rest, message, hint) => {
    expect(() => parseGitRef(`${REPO}${rest}`, undefined)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID', message: expect.stringContaining(message), hint }),
    );
  });
});

describe('parseHttpRef()', () => {
  test.each([
    ['https://host.test/a/b.tar.gz?x=1#y', 'b.tar.gz'],
    ['HTTP://host.test/a%20b', 'a b'],
    ['http://host.test/dir/', 'dir'],
    ['http://host.test/', '__unnamed__'],
    ['http://host.test', '__unnamed__'],
    ['http://host.test/100%', '100%'],
  ])('names the file of %s', (url, filename) => {
    expect(parseHttpRef(url)).toEqual({ url, filename });
  });

  test.each(['ftp://host.test/a', 'host.test/a', './a', 'http://'])(
    'gives undefined when the text is %s',
    (text) => {
      expect(parseHttpRef(text)).toBeUndefined();
    },
  );
});
