import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestBytes, EMPTY_DIGEST, isDigest, parseDigest } from '../../../src/image/digest.ts';

const sha = (data: string | Buffer) => `sha256:${createHash('sha256').update(data).digest('hex')}`;

describe('digestBytes()', () => {
  it.each([0, 1, 16_383, 16_384, 100_000])('equals node:crypto when given %i bytes', (length) => {
    const data = Buffer.alloc(length, 'é');
    expect(digestBytes(data)).toBe(sha(data));
    expect(digestBytes(data.toString('latin1'))).toBe(sha(data.toString('latin1')));
  });
});

describe('parseDigest()', () => {
  it('gives the text when it is a SHA-256 digest', () => {
    expect(parseDigest(sha('x'))).toBe(sha('x'));
    expect(isDigest(sha('x'))).toBe(true);
  });

  it.each([
    ['', 'expected "sha256:"'],
    ['abc', 'expected "sha256:"'],
    [`sha512:${'a'.repeat(128)}`, 'algorithm "sha512"'],
    [`sha256:${'a'.repeat(63)}`, 'got 63 hex digits'],
    [`sha256:${'A'.repeat(64)}`, 'lower-case'],
    [`sha256:${'g'.repeat(64)}`, 'lower-case hex'],
  ])('refuses "%s" when it is none', (text, why) => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text)).toThrow(
      expect.objectContaining({ code: 'REFERENCE_INVALID', message: expect.stringContaining(why) }),
    );
  });
});

describe('EMPTY_DIGEST', () => {
  it('is the digest of no bytes', () => {
    expect(EMPTY_DIGEST).toBe(digestBytes(''));
  });
});
