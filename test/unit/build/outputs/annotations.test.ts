import { describe, expect, it } from 'vitest';
import { annotationsOf, parseAnnotations } from '../../../../src/build/outputs/annotations.ts';

const ARM64 = { os: 'linux', architecture: 'arm64' };

describe('parseAnnotations()', () => {
  it('reads where an annotation goes', () => {
    expect(parseAnnotations({ 'a.b': '1' })).toEqual([
      { level: 'manifest', platform: undefined, key: 'a.b', value: '1' },
    ]);
    expect(parseAnnotations({ 'manifest[linux/arm64/v8],index-descriptor:k:x': '' })).toEqual([
      { level: 'manifest', platform: 'linux/arm64', key: 'k:x', value: '' },
      { level: 'index-descriptor', platform: undefined, key: 'k:x', value: '' },
    ]);
  });

  it.each([
    ['indx:k', /"indx" is no place/],
    ['manifest,layer:k', /"layer" is no place/],
    ['index[linux/arm64]:k', /for all platforms/],
    ['manifest:', /key is missing/],
  ])('refuses %j', (key, message) => {
    expect(() => parseAnnotations({ [key]: 'v' })).toThrow(message);
  });

  it('refuses a platform that is none', () => {
    expect(() => parseAnnotations({ 'manifest[x/]:k': 'v' })).toThrow(/Cannot read platform/);
  });
});

describe('annotationsOf()', () => {
  it('prefers what names the platform, in any order', () => {
    const given = parseAnnotations({
      'manifest[linux/arm64]:k': 'arm',
      'manifest:k': 'all',
      'index:k': 'index',
    });
    expect(annotationsOf(given, 'manifest', ARM64)).toEqual({ k: 'arm' });
    expect(annotationsOf(given, 'manifest', { os: 'linux', architecture: '386' })).toEqual({ k: 'all' });
    expect(annotationsOf(given, 'index')).toEqual({ k: 'index' });
    expect(annotationsOf(given, 'manifest-descriptor', ARM64)).toEqual({});
  });
});
