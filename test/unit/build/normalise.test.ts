import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { normaliseOptions } from '../../../src/build/normalise.ts';
import type { BuildOptions } from '../../../src/build/options.ts';
import { hostPlatform } from '../../../src/image/platform.ts';

const normalise = (options: Partial<BuildOptions> = {}) =>
  normaliseOptions({ context: 'ctx', cwd: '/work', env: { OCIBUILD_ROOT: '/store' }, ...options });

describe('normaliseOptions()', () => {
  it('fills in every default', () => {
    expect(normalise()).toMatchObject({
      contextDir: '/work/ctx',
      targets: [{ stage: undefined, names: [] }],
      platforms: [hostPlatform()],
      indexed: false,
      buildPlatform: hostPlatform(),
      outputs: [{ type: 'store' }],
      jobs: availableParallelism(),
      root: '/store',
      pull: 'missing',
      epochSec: undefined,
      contextDirs: {},
    });
  });

  it('takes BUILDKIT_INLINE_CACHE for an inline cache, where an output is an image', () => {
    const buildArgs = { BUILDKIT_INLINE_CACHE: '1' };
    const local = { type: 'local', dest: 'd' } as const;
    const cacheTo = (options: Partial<BuildOptions>) => normalise(options).cacheTo;
    expect(cacheTo({ buildArgs })).toEqual([{ type: 'inline' }]);
    expect(cacheTo({ buildArgs, cacheTo: [local] })).toEqual([local, { type: 'inline' }]);
    expect(cacheTo({ buildArgs, cacheTo: [{ type: 'inline' }] })).toEqual([{ type: 'inline' }]);
    expect(cacheTo({ buildArgs, outputs: [local] })).toBeUndefined();
    expect(cacheTo({ buildArgs: { BUILDKIT_INLINE_CACHE: '0' } })).toBeUndefined();
  });

  it('takes paths from the working directory, and stdout as it is', () => {
    const outputs = [
      { type: 'oci', dest: 'a.tar' },
      { type: 'tar', dest: '-' },
      { type: 'local', dest: '/out' },
    ] as const;
    const options = normalise({ outputs, root: 'store', buildContexts: { lib: '../lib' } });
    expect(options.outputs.map((output) => 'dest' in output && output.dest)).toEqual([
      '/work/a.tar',
      '-',
      '/out',
    ]);
    expect(options.root).toBe('/work/store');
    expect(options.contextDirs).toEqual({ lib: '/lib' });
  });

  it('keeps image contexts out of the directories', () => {
    const buildContexts = { a: 'oci-layout://dir:tag', b: 'docker-image://alpine', c: 'dir' };
    expect(normalise({ buildContexts }).contextDirs).toEqual({ c: '/work/dir' });
  });

  it('normalises the platform that a context is for', () => {
    const buildContexts = { 'a::arm64': 'dir', 'Linux.io/b::linux/arm64/v8': 'docker-image://alpine' };
    const options = normalise({ buildContexts });
    expect(options.contextDirs).toEqual({ 'a::linux/arm64': '/work/dir' });
    expect(options.buildContexts).toMatchObject({ 'Linux.io/b::linux/arm64': 'docker-image://alpine' });
  });

  it('gives names in both forms', () => {
    expect(normalise({ tags: ['app', 'ghcr.io/me/app:v1'] }).targets[0]?.names).toEqual([
      { normal: 'docker.io/library/app:latest', familiar: 'app:latest' },
      { normal: 'ghcr.io/me/app:v1', familiar: 'ghcr.io/me/app:v1' },
    ]);
  });

  it('takes the platform from the options, then the environment, and an empty one as none', () => {
    const env = { DOCKER_DEFAULT_PLATFORM: 'linux/arm64' };
    expect(normalise({ env }).platforms).toEqual([{ os: 'linux', architecture: 'arm64' }]);
    expect(normalise({ env, platform: 'linux/s390x' }).platforms[0]?.architecture).toBe('s390x');
    expect(normalise({ env: { DOCKER_DEFAULT_PLATFORM: '' } }).platforms).toEqual([hostPlatform()]);
  });

  it('takes SOURCE_DATE_EPOCH from build arguments before the environment', () => {
    const env = { SOURCE_DATE_EPOCH: '7' };
    expect(normalise({ env }).epochSec).toBe(7);
    expect(normalise({ env, buildArgs: { SOURCE_DATE_EPOCH: '0' } }).epochSec).toBe(0);
    expect(normalise({ env: { SOURCE_DATE_EPOCH: '' } }).epochSec).toBeUndefined();
    expect(normalise({ env, buildArgs: { SOURCE_DATE_EPOCH: 'context' } })).toMatchObject({
      epochSec: undefined,
      epochName: 'context',
    });
  });

  it('tells directories, repositories and images among the named contexts apart', () => {
    const buildContexts = { d: 'dir', g: 'https://x/y.git', s: 'git@x:y', i: 'docker-image://i' };
    expect(normalise({ buildContexts })).toMatchObject({
      contextDirs: { d: '/work/dir' },
      remoteContexts: { g: { type: 'git', remote: 'https://x/y.git' }, s: { type: 'git', ssh: 'default' } },
    });
  });

  it.each<[string, Partial<BuildOptions>, string]>([
    ['no steps at a time', { jobs: 0 }, 'USAGE_INVALID'],
    ['half a step', { jobs: 1.5 }, 'USAGE_INVALID'],
    ['a number of steps that is none', { jobs: Number.NaN }, 'USAGE_INVALID'],
    [
      'two outputs to stdout',
      {
        outputs: [
          { type: 'tar', dest: '-' },
          { type: 'oci', dest: '-' },
        ],
      },
      'USAGE_INVALID',
    ],
    ['stdin as a named context', { buildContexts: { a: '-' } }, 'USAGE_INVALID'],
    ['a context name that no image has', { buildContexts: { Lib: 'oci-layout://x' } }, 'USAGE_INVALID'],
    ['a context for a platform that is none', { buildContexts: { 'a::linux/': '.' } }, 'PLATFORM_INVALID'],
    ['a name that is none', { tags: ['UPPER'] }, 'REFERENCE_INVALID'],
    ['a name with a digest', { tags: [`app@sha256:${'a'.repeat(64)}`] }, 'REFERENCE_INVALID'],
    ['a platform that is none', { platform: 'linux/' }, 'PLATFORM_INVALID'],
  ])('refuses %s', (_, options, code) => {
    expect(() => normalise(options)).toThrow(expect.objectContaining({ code }));
  });
});
