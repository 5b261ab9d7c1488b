import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createImageSources, type ImageSourcesOptions } from '../../../../src/build/inputs/image-resolver.ts';
import { EMPTY_LOCK } from '../../../../src/build/lock/lock-file.ts';
import { createContentStore } from '../../../../src/cache/content-store.ts';
import { createImageIndex } from '../../../../src/cache/image-index.ts';
import { OcibuildError } from '../../../../src/errors/error.ts';
import type { Descriptor, Platform } from '../../../../src/image/types.ts';
import type { Resolver } from '../../../../src/registry/types.ts';
import { makeLayout, type TestImage } from '../../../support/layout.ts';
import { tempStore } from '../../cache/temp-store.ts';
import { tempDir } from '../fixture.ts';

const AMD64: Platform = { os: 'linux', architecture: 'amd64' };
const ARM64: Platform = { os: 'linux', architecture: 'arm64' };
const signal = new AbortController().signal;

const imageOf = (text: string, platform = AMD64): TestImage => ({ layers: [{ f: text }], platform });

/** A registry that serves a layout directory, and counts what it is asked. */
function registryOf(dir: string, top: Descriptor): { resolver: Resolver; asked: string[] } {
  const asked: string[] = [];
  const read = (descriptor: Descriptor): Buffer =>
    readFileSync(join(dir, 'blobs', ...descriptor.digest.split(':')));
  const resolver: Resolver = {
    async resolve(ref, { known }) {
      asked.push(`resolve ${ref.repository}:${ref.tag ?? ref.digest}`);
      // As the real one: what is known by its digest is not asked for.
      const bytes = ref.digest === undefined ? undefined : await known?.(ref.digest);
      if (bytes !== undefined) return { descriptor: top, bytes };
      if (ref.repository.endsWith('none')) throw new OcibuildError('REGISTRY_NOT_FOUND', 'Cannot find it');
      return { descriptor: top, bytes: read(top) };
    },
    pusher: () => {
      throw new Error('Cannot push while an image is resolved');
    },
    referrers: () => {
      throw new Error('Cannot ask for referrers while an image is resolved');
    },
    fetchExternal: async () => {
      throw new Error('Cannot fetch a layer while an image is resolved');
    },
    fetcher: () => ({
      async fetchBytes(descriptor) {
        asked.push('fetch');
        return read(descriptor);
      },
      fetchBlob: async () => {
        throw new Error('Cannot fetch a layer while an image is resolved');
      },
    }),
  };
  return { resolver, asked };
}

async function setUp(
  options: Partial<ImageSourcesOptions & { hasLayer: boolean }> = {},
  images: TestImage | TestImage[] = imageOf('r'),
) {
  const { root, db } = await tempStore();
  const [content, index, dir] = [createContentStore(root), createImageIndex(root, db), tempDir()];
  const top = await makeLayout(dir, 'v1', images);
  const { resolver, asked } = registryOf(dir, top);
  const sources = (more: Partial<ImageSourcesOptions> = {}) =>
    createImageSources(
      { content, index, hasLayer: () => options.hasLayer ?? true, registry: async () => resolver },
      { pull: 'missing', contexts: {}, cwd: dir, signal, ...options, ...more },
    );
  return { root, content, index, dir, top, asked, sources };
}

describe('createImageSources().resolve()', () => {
  it('asks the registry once, then answers from the store', async () => {
    const { sources, asked, top, index } = await setUp();
    const first = sources();
    const image = await first.resolve('app:v1', AMD64, signal);
    expect(image).toMatchObject({ manifest: top.digest, name: `docker.io/library/app:v1@${top.digest}` });
    expect(first.used().baseTags).toEqual({ 'app:v1': top.digest });
    expect(index.resolve('app:v1')?.digest).toBe(top.digest);
    expect(asked).toEqual(['resolve library/app:v1', 'fetch']);
    const second = sources();
    expect(await second.resolve('docker.io/library/app:v1', AMD64, signal)).toEqual(image);
    expect(second.used().baseTags).toEqual({ 'app:v1': top.digest });
    expect(asked).toHaveLength(2);
  });

  it('gives the layers of what it resolved with where they can be had', async () => {
    const { sources } = await setUp();
    const images = sources();
    const { config } = await images.resolve('app:v1', AMD64, signal);
    expect(images.layersOf(config.rootfs.diff_ids)).toEqual([
      {
        diffId: config.rootfs.diff_ids[0],
        descriptor: expect.objectContaining({ size: expect.any(Number) }),
        origin: { type: 'registry', name: 'docker.io/library/app:v1' },
      },
    ]);
    expect(() => sources().layersOf(config.rootfs.diff_ids)).toThrow(/was not resolved/);
  });

  it('"always" asks each time; "never" not at all', async () => {
    const { sources, asked } = await setUp();
    await expect(sources({ pull: 'never' }).resolve('app:v1', AMD64, signal)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
    expect(asked).toEqual([]);
    for (let i = 0; i < 2; i++) await sources({ pull: 'always' }).resolve('app:v1', AMD64, signal);
    expect(asked.filter((what) => what.startsWith('resolve'))).toHaveLength(2);
    await sources({ pull: 'never' }).resolve('app:v1', AMD64, signal);
  });

  it('"newer" takes the stored image where the registry gives none, others fail', async () => {
    const { sources, content, index, dir, top } = await setUp();
    for (const { digest } of [top, JSON.parse(readBlob(dir, top)).config as Descriptor]) {
      content.putBytes(readFileSync(join(dir, 'blobs', ...digest.split(':'))));
    }
    index.set('none:latest', top);
    const of = (pull: 'newer' | 'always') => sources({ pull }).resolve('none', AMD64, signal);
    expect((await of('newer')).manifest).toBe(top.digest);
    await expect(of('always')).rejects.toMatchObject({ code: 'REGISTRY_NOT_FOUND' });
  });

  it('tells which platforms the store has when it lacks one that the registry does not give', async () => {
    const { sources, content, index, dir, top } = await setUp();
    for (const { digest } of [top, JSON.parse(readBlob(dir, top)).config as Descriptor]) {
      content.putBytes(readFileSync(join(dir, 'blobs', ...digest.split(':'))));
    }
    index.set('none:latest', top);
    const of = (pull: 'missing' | 'always' | 'never', name = 'none') =>
      sources({ pull }).resolve(name, ARM64, signal);
    await expect(of('missing')).rejects.toMatchObject({
      ...{ code: 'REGISTRY_NOT_FOUND', message: 'Cannot find it' },
      hint: 'the store has "none" for linux/amd64 only',
    });
    await expect(of('missing', 'other-none')).rejects.toMatchObject({ hint: undefined });
    await expect(of('always')).rejects.toMatchObject({ hint: undefined });
    await expect(of('never')).rejects.toMatchObject({
      code: 'IMAGE_PLATFORM_MISSING',
      message: 'Cannot use the image "docker.io/library/none:latest" for linux/arm64: it has linux/amd64',
    });
  });

  it('takes a stored image for the platform that its build was for, and for that of its base', async () => {
    const { sources, content, index, dir, top } = await setUp({ pull: 'never' }, imageOf('r', ARM64));
    for (const { digest } of [top, JSON.parse(readBlob(dir, top)).config as Descriptor]) {
      content.putBytes(readFileSync(join(dir, 'blobs', ...digest.split(':'))));
    }
    index.set('made:latest', { ...top, platform: AMD64 });
    for (const platform of [AMD64, ARM64]) {
      expect((await sources().resolve('made', platform, signal)).config.architecture).toBe('arm64');
    }
    const other = sources().resolve('made', { os: 'linux', architecture: 's390x' }, signal);
    await expect(other).rejects.toMatchObject({ code: 'IMAGE_PLATFORM_MISSING' });
  });

  it('picks the platform from an index, and asks again for another one', async () => {
    const { sources, asked } = await setUp({}, [imageOf('a'), imageOf('b', ARM64)]);
    const [one, two] = [
      await sources().resolve('app:v1', AMD64, signal),
      await sources().resolve('app:v1', ARM64, signal),
    ];
    expect([one.config.architecture, two.config.architecture]).toEqual(['amd64', 'arm64']);
    expect(one.manifest).not.toBe(two.manifest);
    expect(asked.filter((what) => what.startsWith('resolve'))).toHaveLength(2);
    await expect(
      sources().resolve('app:v1', { os: 'linux', architecture: 's390x' }, signal),
    ).rejects.toMatchObject({
      code: 'IMAGE_PLATFORM_MISSING',
      message: expect.stringContaining('linux/amd64, linux/arm64'),
    });
  });

  it('tells what a lock file has to hold: the index where there is one', async () => {
    const { sources, top, dir } = await setUp({}, [imageOf('a'), imageOf('b', ARM64)]);
    const first = sources({ pull: 'newer' });
    await first.resolve('app:v1', ARM64, signal);
    await first.resolve(`app@${top.digest}`, AMD64, signal);
    expect([...first.lockable()].filter(([name]) => !name.includes('@'))).toEqual([
      ['docker.io/library/app:v1', { digest: top.digest }],
    ]);
    const second = sources({ contexts: { app: `oci-layout://${dir}:v1` } });
    await second.resolve('app', AMD64, signal);
    expect([...second.lockable()]).toEqual([]);
  });

  it('takes the image of the lock, from the registry once and then from the store, and moves no tag', async () => {
    const { sources, top, asked, index } = await setUp({}, [imageOf('a'), imageOf('b', ARM64)]);
    const lock = { ...EMPTY_LOCK, images: { 'docker.io/library/app:v1': top.digest } };
    const locked = { file: 'Dockerfile.lock', lock };
    await expect(sources({ locked, pull: 'never' }).resolve('app:v1', AMD64, signal)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
    const first = sources({ locked });
    const image = await first.resolve('app:v1', AMD64, signal);
    expect(image.name).toBe(`docker.io/library/app:v1@${image.manifest}`);
    expect(first.layersOf(image.config.rootfs.diff_ids)).toMatchObject([
      { origin: { type: 'registry', name: `docker.io/library/app@${top.digest}` } },
    ]);
    expect(index.list()).toEqual([]);
    expect(first.used().baseTags).toEqual({});
    const fetched = asked.length;
    expect(await sources({ locked, pull: 'never' }).resolve('app:v1', AMD64, signal)).toEqual(image);
    expect(asked.slice(fetched)).toEqual([`resolve library/app:${top.digest}`]);
    await expect(sources({ locked }).resolve('app:v2', AMD64, signal)).rejects.toMatchObject({
      code: 'LOCK_OUTDATED',
    });
  });

  it('blames the lock when the registry has its image no longer', async () => {
    const { sources, top } = await setUp();
    const lock = { ...EMPTY_LOCK, images: { 'docker.io/library/none:latest': top.digest } };
    const failed = sources({ locked: { file: 'Dockerfile.lock', lock } }).resolve('none', AMD64, signal);
    await expect(failed).rejects.toMatchObject({
      code: 'LOCK_OUTDATED',
      cause: { code: 'REGISTRY_NOT_FOUND' },
    });
  });

  it('asks the registry again when the stored manifest is gone', async () => {
    const { sources, asked, content, top } = await setUp();
    await sources().resolve('app:v1', AMD64, signal);
    content.drop(top.digest);
    await sources().resolve('app:v1', AMD64, signal);
    expect(asked.filter((what) => what.startsWith('resolve'))).toHaveLength(2);
  });

  it('asks where lost layers can be had, by digest, and only when there are some', async () => {
    const { sources, asked, top } = await setUp({ hasLayer: false });
    await sources().resolve('app:v1', AMD64, signal);
    asked.length = 0;
    const images = sources();
    const { config } = await images.resolve('app:v1', AMD64, signal);
    expect(asked).toEqual([`resolve library/app:${top.digest}`]);
    expect(images.layersOf(config.rootfs.diff_ids)[0]?.origin).toEqual({
      type: 'registry',
      name: `docker.io/library/app@${top.digest}`,
    });
  });

  it('does not take a manifest that is here for one that the registry has', async () => {
    const { sources, content, index, dir, top } = await setUp({ hasLayer: false });
    for (const { digest } of [top, JSON.parse(readBlob(dir, top)).config as Descriptor]) {
      content.putBytes(readFileSync(join(dir, 'blobs', ...digest.split(':'))));
    }
    index.set('none:latest', top);
    const images = sources();
    const { config } = await images.resolve('none', AMD64, signal);
    expect(images.layersOf(config.rootfs.diff_ids)[0]?.origin).toBeUndefined();
  });

  it('sets no name for an image asked by digest', async () => {
    const { sources, index, top } = await setUp();
    const images = sources();
    await images.resolve(`app@${top.digest}`, AMD64, signal);
    expect(index.list()).toEqual([]);
    expect(images.used().baseTags).toEqual({});
  });
});

describe('createImageSources() with named contexts', () => {
  it('reads a layout from the working directory instead, whatever form the name has', async () => {
    const { sources, asked, dir, top } = await setUp();
    for (const key of ['app', 'app:latest', 'docker.io/library/app']) {
      const images = sources({ contexts: { [key]: 'oci-layout://.:v1' } });
      const { manifest, config } = await images.resolve('app', AMD64, signal);
      expect(manifest).toBe(top.digest);
      expect(images.used()).toEqual({ baseTags: {}, layoutDirs: [dir] });
      expect(images.layersOf(config.rootfs.diff_ids)[0]?.origin).toEqual({ type: 'layout', dir });
    }
    expect(asked).toEqual([]);
  });

  it('takes another image, and one for a platform before one for all', async () => {
    const { sources, asked } = await setUp();
    const contexts = { app: 'docker-image://other:v2', 'app::linux/amd64': 'docker-image://mine:v3' };
    await sources({ contexts: { app: contexts.app } }).resolve('app', AMD64, signal);
    expect(asked[0]).toBe('resolve library/other:v2');
    await expect(sources({ contexts }).resolve('app', AMD64, signal)).resolves.toMatchObject({
      name: expect.stringContaining('library/mine:v3'),
    });
  });

  it('fails when the layout has no such tag', async () => {
    const { sources, dir } = await setUp();
    mkdirSync(join(dir, 'empty'));
    const resolve = (value: string) => sources({ contexts: { app: value } }).resolve('app', AMD64, signal);
    await expect(resolve('oci-layout://.:v9')).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    await expect(resolve('oci-layout://empty')).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
  });
});

function readBlob(dir: string, { digest }: Descriptor): string {
  return readFileSync(join(dir, 'blobs', ...digest.split(':')), 'utf8');
}
