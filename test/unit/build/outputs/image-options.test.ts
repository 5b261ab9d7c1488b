import { describe, expect, it } from 'vitest';
import type { BuildOptions } from '../../../../src/build/options.ts';
import { readImageOptions } from '../../../../src/build/outputs/image-options.ts';
import { formatPlatform, hostPlatform } from '../../../../src/image/platform.ts';

const read = (options: Partial<BuildOptions>, env = {}) =>
  readImageOptions({ context: '.', ...options }, env);
const platformsOf = (platform: string) => read({ platform }).platforms.map(formatPlatform);

describe('readImageOptions()', () => {
  it('keeps the order of platforms, each once, in its one spelling', () => {
    expect(platformsOf('linux/x86_64, aarch64,linux/amd64/v1,linux/arm64/v8,linux/armel')).toEqual([
      'linux/amd64',
      'linux/arm64',
      'linux/arm/v6',
    ]);
    expect(platformsOf('local')).toEqual([formatPlatform(hostPlatform())]);
    expect(read({}, { DOCKER_DEFAULT_PLATFORM: 'linux/386,linux/arm' }).platforms).toHaveLength(2);
  });

  it('makes an index for several platforms, or where it is asked for', () => {
    const indexed = (platform: string, value?: string) =>
      read({ platform, ...(value === undefined ? {} : { buildArgs: { BUILDKIT_MULTI_PLATFORM: value } }) })
        .indexed;
    expect(indexed('linux/386')).toBe(false);
    expect(indexed('linux/386,linux/386')).toBe(false);
    expect(indexed('linux/386,linux/arm64')).toBe(true);
    expect(indexed('linux/386', '1')).toBe(true);
    expect(indexed('linux/386', 'false')).toBe(false);
  });

  it.each<[string, Partial<BuildOptions>, RegExp]>([
    [
      'annotations in Docker manifests',
      { annotations: { a: 'b' }, outputs: [{ type: 'store', ociMediaTypes: false }] },
      /oci-mediatypes=false/,
    ],
    [
      'an index in a Docker archive',
      { platform: 'linux/386,linux/arm64', outputs: [{ type: 'docker', dest: 'a.tar' }] },
      /one platform/,
    ],
    [
      'clamped times without an epoch',
      { outputs: [{ type: 'store', rewriteTimestamp: true }] },
      /SOURCE_DATE_EPOCH/,
    ],
  ])('refuses %s', (_, options, message) => {
    expect(() => read(options)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID', message: expect.stringMatching(message) }),
    );
  });

  it('gives each target its names', () => {
    const { targets } = read({ targets: ['a', 'b', 'a'], targetTags: { a: ['x', 'y:2'] } });
    expect(targets).toEqual([
      {
        stage: 'a',
        names: [
          { normal: 'docker.io/library/x:latest', familiar: 'x:latest' },
          { normal: 'docker.io/library/y:2', familiar: 'y:2' },
        ],
      },
      { stage: 'b', names: [] },
    ]);
    expect(read({ targets: ['a'], tags: ['x'] }).targets[0]?.names).toHaveLength(1);
  });

  it.each<[string, Partial<BuildOptions>, RegExp, RegExp?]>([
    ['both ways to name targets', { target: 'a', targets: ['b'] }, /several targets at once/],
    ['a name for two images', { targets: ['a', 'b'], tags: ['x:1'] }, /2 images "x:1"/, /-t a=x:1/],
    ['names of a foreign target', { targets: ['app'], targetTags: { apo: ['x'] } }, /"apo"/, /app/],
    [
      'one manifest for two platforms',
      { platform: 'linux/386,linux/arm64', buildArgs: { BUILDKIT_MULTI_PLATFORM: '0' } },
      /linux\/386, linux\/arm64/,
    ],
    ['a switch that is neither', { buildArgs: { BUILDKIT_MULTI_PLATFORM: 'maybe' } }, /"maybe"/],
    ['annotations of an index that is not made', { annotations: { 'index:k': 'v' } }, /single manifest/],
    [
      'annotations of a platform that is not built',
      { platform: 'linux/386', annotations: { 'manifest[linux/arm64]:k': 'v' } },
      /build is for linux\/386/,
    ],
  ])('refuses %s', (_, options, message, hint = /|/) => {
    const error = expect.objectContaining({
      code: 'USAGE_INVALID',
      message: expect.stringMatching(message),
    });
    expect(() => read(options)).toThrow(error);
    if (hint.source !== '|') {
      expect(() => read(options)).toThrow(expect.objectContaining({ hint: expect.stringMatching(hint) }));
    }
  });

  it('leaves annotations alone where no image is written', () => {
    const outputs = [{ type: 'local', dest: 'out' }] as const;
    expect(read({ annotations: { 'index:k': 'v' }, outputs }).annotations).toHaveLength(1);
  });
});
