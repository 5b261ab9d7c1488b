import { describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/image/types.ts';
import { encodeCacheConfig, parseCacheConfig } from '../../../src/remotecache/cache-config.ts';
import { makeCacheDocuments } from '../../../src/remotecache/cache-documents.ts';
import type { CacheConfig } from '../../../src/remotecache/types.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const descriptor = (letter: string) => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest: digest(letter),
  size: 7,
});
const RUN = `run-${'a'.repeat(40)}`;
const FILES = `files-${'b'.repeat(64)}`;

const config: CacheConfig = {
  salt: 's',
  layers: [
    { id: RUN, diffId: digest('1'), descriptor: descriptor('2'), tarSize: 10, createdMs: 5 },
    { id: FILES, diffId: digest('3'), descriptor: { ...descriptor('4'), annotations: { b: '2', a: '1' } } },
  ],
  records: [
    {
      key: digest('f'),
      kind: 'definition',
      layers: [digest('9'), FILES, 'empty', RUN],
      name: 'RUN make',
      ingredients: [{ name: 'result', value: digest('e') }],
    },
    { key: digest('e'), kind: 'result', layers: [RUN], name: 'RUN make', ingredients: [] },
  ],
  mounts: [{ id: 'deps', base: '', diffId: digest('5'), descriptor: descriptor('6') }],
};

type Json = Record<string, unknown>;

/** The config as JSON with one thing changed. */
function changed(
  change: (json: { layers: Json[]; records: Json[]; mounts: Json[] } & Json) => unknown,
): Buffer {
  const json = JSON.parse(encodeCacheConfig(config).toString()) as Parameters<typeof change>[0];
  change(json);
  return Buffer.from(JSON.stringify(json));
}

describe('encodeCacheConfig()', () => {
  it('gives the same bytes whatever the order, and what parseCacheConfig() reads', () => {
    const bytes = encodeCacheConfig(config);
    const read = parseCacheConfig(bytes, 'x');
    expect(read.layers.map(({ id }) => id)).toEqual([FILES, RUN]);
    expect(new Set(read.records)).toEqual(new Set(config.records));
    expect(new Set(read.layers)).toEqual(new Set(config.layers));
    expect(read.mounts).toEqual(config.mounts);
    const { layers, records } = config;
    expect(
      encodeCacheConfig({ ...config, layers: layers.toReversed(), records: records.toReversed() }),
    ).toEqual(bytes);
    expect(encodeCacheConfig(read)).toEqual(bytes);
  });
});

describe('parseCacheConfig()', () => {
  it.each<[string, Buffer]>([
    ['no JSON', Buffer.from('{')],
    ['a list', Buffer.from('[]')],
    ['no salt', changed((json) => delete json.salt)],
    ['no layers', changed((json) => delete (json as Json).layers)],
    ['a layer that is no object', changed((json) => json.layers.push(3 as never))],
    [
      'a layer id that leads out of a directory',
      changed((json) => json.layers.push({ ...json.layers[0], id: '../x' })),
    ],
    ["a base image's layer", changed((json) => json.layers.push({ ...json.layers[0], id: digest('7') }))],
    [
      'a digest that is a path',
      changed((json) => Object.assign(json.layers[0] ?? {}, { diffId: 'sha256:../../x' })),
    ],
    ['a negative size', changed((json) => Object.assign(json.layers[0]?.descriptor ?? {}, { size: -1 }))],
    [
      'a record of an unknown layer',
      changed((json) => Object.assign(json.records[0] ?? {}, { layers: ['run-1'] })),
    ],
    ['a record of an unknown kind', changed((json) => Object.assign(json.records[0] ?? {}, { kind: 'x' }))],
    ['a key that is no digest', changed((json) => Object.assign(json.records[0] ?? {}, { key: 'x' }))],
    [
      'ingredients without values',
      changed((json) => Object.assign(json.records[0] ?? {}, { ingredients: [{ name: 'a' }] })),
    ],
    ['a mount without a blob', changed((json) => delete (json.mounts[0] as Json).descriptor)],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseCacheConfig(bytes, 'reg.example/x:cache')).toThrow(
      expect.objectContaining({
        code: 'CACHE_INVALID',
        message: expect.stringContaining('"reg.example/x:cache"'),
      }),
    );
  });
});

describe('makeCacheDocuments()', () => {
  it('names each blob once, in the form and the media types that were asked for', () => {
    const [layer] = config.layers;
    if (layer === undefined) throw new Error('there is a layer');
    const twice = { ...config, layers: [...config.layers, { ...layer, id: `run-${'c'.repeat(40)}` }] };
    const oci = makeCacheDocuments(twice, { imageManifest: true, ociMediaTypes: true });
    expect(oci.blobs.map((blob) => blob.digest)).toEqual([digest('2'), digest('4'), digest('6')]);
    expect(JSON.parse(oci.topBytes.toString())).toMatchObject({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: oci.config,
      layers: oci.blobs,
    });
    const docker = makeCacheDocuments(twice, { imageManifest: false, ociMediaTypes: false });
    const { mediaType, manifests } = JSON.parse(docker.topBytes.toString()) as Json & { manifests: Json[] };
    expect(mediaType).toBe('application/vnd.docker.distribution.manifest.list.v2+json');
    expect(manifests.at(-1)).toEqual(docker.config);
    expect(manifests[0]?.mediaType).toBe('application/vnd.docker.image.rootfs.diff.tar.gzip');
  });
});
