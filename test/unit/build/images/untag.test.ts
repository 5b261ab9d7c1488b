import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { type Engine, openEngine } from '../../../../src/build/engine.ts';
import { untagImages } from '../../../../src/build/images/image-commands.ts';
import { findTop } from '../../../../src/build/images/stored-image.ts';
import { type Digest, MEDIA_TYPE } from '../../../../src/image/types.ts';

const ONE: Digest = `sha256:${'abcd1'.padEnd(64, '0')}`;
const TWO: Digest = `sha256:${'abcd2'.padEnd(64, '0')}`;

/** A store with `app:1` and `app:one` of one image, and `other:2`. */
async function open() {
  const root = mkdtempSync(join(tmpdir(), 'ocibuild-untag-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const options = { root, env: {}, signal: new AbortController().signal };
  const inStore = async <T>(look: (engine: Engine) => T): Promise<T> => {
    await using engine = await openEngine(options);
    return look(engine);
  };
  await inStore(({ index }) => {
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    index.set('app:1', { mediaType, digest: ONE, size: 1 });
    index.set('app:one', { mediaType, digest: ONE, size: 1 });
    index.set('other:2', { mediaType, digest: TWO, size: 1 });
  });
  return {
    inStore,
    untag: (names: readonly string[], force = false) => untagImages(root, names, { ...options, force }),
    names: () => inStore(({ index }) => index.list().map(({ name }) => name)),
  };
}

it('findTop() takes the first digits of a digest where they are enough', async () => {
  const { inStore } = await open();
  await inStore((engine) => {
    expect(findTop(engine, 'abcd2').digest).toBe(TWO);
    expect(findTop(engine, 'sha256:abcd10').digest).toBe(ONE);
    expect(() => findTop(engine, 'abcd')).toThrow(/several begin so/);
    expect(() => findTop(engine, 'abc')).toThrow(/Cannot find the image "abc"/);
  });
});

it.each([
  ['app', 'the store holds app:1, app:one'],
  ['docker.io/library/app:2', 'the store holds app:1, app:one'],
  ['othre:2', 'did you mean "other:2"?'],
  ['nothing', 'the store holds app:1, app:one, other:2, n:1, n:2 and 2 more'],
])('findTop() says what there is when "%s" is not', async (name, hint) => {
  const { inStore } = await open();
  await inStore((engine) => {
    for (const tag of [1, 2, 3, 4])
      engine.index.set(`n:${tag}`, { mediaType: MEDIA_TYPE.manifest, digest: TWO, size: 1 });
    expect(() => findTop(engine, name)).toThrow(expect.objectContaining({ code: 'IMAGE_NOT_FOUND', hint }));
  });
});

it('findTop() takes a name with a digest that an image of the name has', async () => {
  const { inStore } = await open();
  await inStore((engine) => {
    for (const name of [`other@${TWO}`, `other:2@${TWO}`, `docker.io/library/other@${TWO}`])
      expect(findTop(engine, name).digest).toBe(TWO);
    for (const name of [`app@${TWO}`, `other:3@${TWO}`, `localhost:5000/other@${TWO}`])
      expect(() => findTop(engine, name)).toThrow(/Cannot find the image/);
    expect(() => findTop(engine, 'other@sha256:1')).toThrow(/Cannot read image name/);
  });
});

it.each([['abcd2'], [TWO], [`other@${TWO}`]])(
  'untagImages() removes the name of the digest %s',
  async (digest) => {
    const { untag, names } = await open();
    await untag([digest]);
    expect(await names()).toEqual(['app:1', 'app:one']);
  },
);

it('untagImages() removes all names of a digest only when it is forced', async () => {
  const { untag, names } = await open();
  await expect(untag(['other:2', ONE])).rejects.toMatchObject({
    code: 'USAGE_INVALID',
    hint: expect.stringContaining('app:1 app:one'),
  });
  expect(await names()).toHaveLength(3);
  await untag([ONE], true);
  expect(await names()).toEqual(['other:2']);
});

it('untagImages() passes over what is not there only when it is forced', async () => {
  const { untag, names } = await open();
  await expect(untag(['app:1', 'nope'])).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  expect(await names()).toHaveLength(3);
  await untag(['app:1', 'nope'], true);
  expect(await names()).toEqual(['app:one', 'other:2']);
});
