import { describe, expect, it } from 'vitest';
import type { Digest, ImageConfig } from '../../../src/image/types.ts';
import { inlineField, readInlineCache, withoutInlineCache } from '../../../src/remotecache/inline-cache.ts';
import type { CachedRecord } from '../../../src/remotecache/types.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const RUN = `run-${'a'.repeat(40)}`;
const OTHER = `run-${'b'.repeat(40)}`;
const ids = [digest('0'), RUN];
const image: ImageConfig = {
  architecture: 'amd64',
  os: 'linux',
  'com.example': 'kept',
  rootfs: { type: 'layers', diff_ids: [digest('0'), digest('1')] },
};
const layers = ['8', '9'].map((letter) => ({ mediaType: 'application/x', digest: digest(letter), size: 3 }));
const record = (key: string, of: readonly string[]): CachedRecord => ({
  ...{ key: digest(key), kind: 'definition', layers: of, name: 'RUN x', ingredients: [] },
});

const records = [record('d', [digest('0'), 'empty', RUN]), record('c', [digest('0')]), record('e', [OTHER])];
const field = inlineField({ salt: 's', records }, { ids, createdMs: () => 4 });

describe('inlineField()', () => {
  it('keeps the records whose layers the image has, and readInlineCache() gives them back', () => {
    const cache = readInlineCache({ ...image, ...field }, { layers, name: 'app' });
    expect(cache).toEqual({
      salt: 's',
      layers: [{ id: RUN, diffId: digest('1'), descriptor: layers[1], createdMs: 4 }],
      records: [records[1], records[0]],
    });
  });
});

describe('readInlineCache()', () => {
  it('gives nothing for an image without a cache', () => {
    expect(readInlineCache(image, { layers, name: 'app' })).toBeUndefined();
  });

  it.each<[string, unknown]>([
    ['no object', 7],
    ['fewer layers than the image has', { salt: 's', layers: [{ id: RUN }], records: [] }],
    ['a layer that is not there', { ...withLayers([5]) }],
    ['a layer twice under one id and no records', { salt: 's', layers: [{ id: RUN }, { id: RUN }] }],
  ])('refuses %s', (_, value) => {
    const config = { ...image, [Object.keys(field)[0] ?? '']: value };
    expect(() => readInlineCache(config, { layers, name: 'app' })).toThrow(
      expect.objectContaining({ code: 'CACHE_INVALID' }),
    );
  });
});

describe('withoutInlineCache()', () => {
  it('takes the cache of a base image away, and leaves what others put beside it', () => {
    expect(withoutInlineCache({ ...image, ...field })).toEqual(image);
  });
});

function withLayers(indexes: readonly number[]) {
  return {
    salt: 's',
    layers: ids.map((id) => ({ id })),
    records: [{ ...record('c', []), layers: indexes }],
  };
}
