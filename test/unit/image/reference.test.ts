import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { familiarName, normalName, parseReference, withDefaultTag } from '../../../src/image/reference.ts';
import { runs } from '../../support/runs.ts';

const HEX = 'a1'.repeat(32);
const DIGEST = `sha256:${HEX}`;

describe('parseReference()', () => {
  it.each([
    // text, full name, familiar name
    ['app', 'docker.io/library/app', 'app'],
    ['app:v0', 'docker.io/library/app:v0', 'app:v0'],
    ['docker.io/app:v0', 'docker.io/library/app:v0', 'app:v0'],
    ['docker.io/library/app', 'docker.io/library/app', 'app'],
    ['index.docker.io/app', 'docker.io/library/app', 'app'],
    ['team/app', 'docker.io/team/app', 'team/app'],
    ['library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['localhost/app', 'localhost/app', 'localhost/app'],
    ['localhost:5000/app:1', 'localhost:5000/app:1', 'localhost:5000/app:1'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c'],
    ['[::1]:5000/app:v1', '[::1]:5000/app:v1', '[::1]:5000/app:v1'],
    ['ghcr.io/team/app', 'ghcr.io/team/app', 'ghcr.io/team/app'],
    ['Registry/app', 'Registry/app', 'Registry/app'],
    ['docker.io/a.b/c', 'docker.io/a.b/c', 'docker.io/a.b/c'],
    ['docker.io/localhost/c', 'docker.io/localhost/c', 'docker.io/localhost/c'],
    [`app@${DIGEST}`, `docker.io/library/app@${DIGEST}`, `app@${DIGEST}`],
    [`app:v0@${DIGEST}`, `docker.io/library/app:v0@${DIGEST}`, `app:v0@${DIGEST}`],
    ['a__b/c-d--e.f_g:_X.y-Z', 'docker.io/a__b/c-d--e.f_g:_X.y-Z', 'a__b/c-d--e.f_g:_X.y-Z'],
    [`app:${'t'.repeat(128)}`, `docker.io/library/app:${'t'.repeat(128)}`, `app:${'t'.repeat(128)}`],
  ])('reads "%s" as %s when it is well formed', (text, full, familiar) => {
    const ref = parseReference(text);
    expect(normalName(ref)).toBe(full);
    expect(familiarName(ref)).toBe(familiar);
    expect(parseReference(full)).toEqual(ref);
    expect(parseReference(familiar)).toEqual(ref);
  });

  it.each([
    ['', 'the name is empty'],
    [':v0', 'the repository name is missing'],
    ['docker.io/', 'the repository name is missing'],
    ['app:', 'the tag is empty'],
    ['app:-x', '"-x" is not a tag'],
    [`app:${'t'.repeat(129)}`, '129 characters'],
    ['app:a:b', '"a:b" is not a tag'],
    ['App', 'must be lower case'],
    ['a//b', 'empty path component'],
    ['/a', 'empty path component'],
    ['a/b/', 'empty path component'],
    ['a b', '"a b" is not a repository name'],
    ['-a', '"-a" is not a repository name'],
    ['a..b', '"a..b" is not a repository name'],
    ['a___b', '"a___b" is not a repository name'],
    ['http://host/app', 'is not a registry host'],
    ['-host.io/app', '"-host.io" is not a registry host'],
    ['host.io:port/app', '"host.io:port" is not a registry host'],
    [HEX, '64 hex digits reads as an image id'],
    [`x/${'a'.repeat(256)}`, 'characters, at most 255'],
    ['app@', 'the digest is malformed'],
    ['app@sha256:abc', 'got 3 hex digits, expected 64'],
    [`app@${DIGEST.toUpperCase().replace('SHA', 'sha')}`, 'expected lower-case'],
    [`app@sha512:${HEX}${HEX}`, 'algorithm "sha512" is not supported'],
  ])('refuses "%s" when it is malformed', (text, why) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'REFERENCE_INVALID', message: expect.stringContaining(why) }),
    );
  });

  it('suggests the lower-case name when only the case is wrong', () => {
    expect(() => parseReference('Team-App:V1')).toThrow(
      expect.objectContaining({ hint: 'did you mean "team-app:V1"?' }),
    );
  });

  it('throws nothing but REFERENCE_INVALID when given any text, and reads its own output', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[a-zA-Z0-9.:/@_[\]-]{0,40}$/),
      fc.stringMatching(/^([a-z0-9]+[./:_-]){0,4}[a-z0-9]{1,4}(:[a-zA-Z0-9._-]{1,6})?$/),
    );
    fc.assert(
      fc.property(texts, (text) => {
        let ref: ReturnType<typeof parseReference>;
        try {
          ref = parseReference(text);
        } catch (error) {
          expect(error).toMatchObject({ code: 'REFERENCE_INVALID' });
          return;
        }
        expect(parseReference(normalName(ref))).toEqual(ref);
        expect(parseReference(familiarName(ref))).toEqual(ref);
      }),
      runs(500),
    );
  });
});

describe('withDefaultTag()', () => {
  it.each([
    ['app', 'app:latest'],
    ['app:v0', 'app:v0'],
    [`app@${DIGEST}`, `app@${DIGEST}`],
  ])('makes %s %s when it names an image', (text, want) => {
    expect(familiarName(withDefaultTag(parseReference(text)))).toBe(want);
  });
});
