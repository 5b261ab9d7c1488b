import { describe, expect, it } from 'vitest';
import {
  documentKind,
  encodeConfig,
  encodeDocument,
  parseConfig,
  parseDocument,
} from '../../../src/image/manifest.ts';
import { type Digest, type Manifest, MEDIA_TYPE } from '../../../src/image/types.ts';

const DIGEST: Digest = `sha256:${'0'.repeat(64)}`;
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const descriptor = (mediaType: string) => ({ mediaType, digest: DIGEST, size: 2 });
const manifest = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.manifest,
  config: descriptor(MEDIA_TYPE.config),
  layers: [descriptor(MEDIA_TYPE.layerGzip)],
};
const index = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.index,
  manifests: [{ ...descriptor(MEDIA_TYPE.manifest), platform: { os: 'linux', architecture: 'amd64' } }],
};
const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [DIGEST] } };

describe('parseDocument()', () => {
  it('keeps fields that it does not know when it reads a manifest or an index', () => {
    expect(parseDocument(bytes({ ...manifest, more: [1] }))).toEqual({
      kind: 'manifest',
      mediaType: MEDIA_TYPE.manifest,
      manifest: { ...manifest, more: [1] },
    });
    expect(parseDocument(bytes({ ...index, more: 1 }), MEDIA_TYPE.index)).toMatchObject({
      kind: 'index',
      index: { more: 1 },
    });
  });

  it('takes Docker media types and documents without mediaType', () => {
    const { mediaType: _, ...bare } = manifest;
    expect(parseDocument(bytes(bare), MEDIA_TYPE.dockerManifest).kind).toBe('manifest');
    expect(parseDocument(bytes(bare)).mediaType).toBe(MEDIA_TYPE.manifest);
    expect(parseDocument(bytes({ schemaVersion: 2, manifests: [] })).kind).toBe('index');
    const list = { ...index, mediaType: MEDIA_TYPE.dockerIndex };
    expect(parseDocument(bytes(list), MEDIA_TYPE.dockerIndex).kind).toBe('index');
  });

  it.each([
    ['no JSON', '{', 'it is not JSON'],
    ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'it is not JSON'],
    ['no object', '[]', 'not a JSON object'],
    ['schema 1', { schemaVersion: 1, fsLayers: [] }, 'schema 1'],
    ['no schemaVersion', {}, 'schemaVersion is undefined'],
    ['a strange type', { ...manifest, mediaType: 'a/b' }, '"a/b" is neither'],
    ['both lists', { ...manifest, manifests: [] }, '"manifests" of an index'],
    ['an index with layers', { ...index, layers: [] }, 'of a manifest'],
    ['no config', { ...manifest, config: undefined }, '"config" is missing'],
    ['no layers', { ...manifest, layers: undefined }, '"layers" is missing'],
    ['no manifests', { ...index, manifests: undefined }, '"manifests" is missing'],
    [
      'a bad digest',
      { ...manifest, layers: [{ ...descriptor('a/b'), digest: 'sha256:AB' }] },
      'layers[0].digest',
    ],
    [
      'a traversal',
      { ...manifest, config: { ...descriptor('a/b'), digest: 'sha256:../../x' } },
      'config.digest',
    ],
    ['a bad size', { ...manifest, layers: [{ ...descriptor('a/b'), size: -1 }] }, 'layers[0].size'],
    ['a bad media type', { ...manifest, layers: [descriptor('none')] }, 'layers[0].mediaType'],
    [
      'half a platform',
      { ...index, manifests: [{ ...descriptor('a/b'), platform: { os: 'x' } }] },
      'platform',
    ],
    ['annotations of numbers', { ...manifest, annotations: { a: 1 } }, 'annotations'],
    ['an empty config alone', { ...manifest, config: descriptor(MEDIA_TYPE.empty) }, 'artifactType'],
  ])('refuses a document when it has %s', (_, value, why) => {
    const data = Buffer.isBuffer(value) ? value : bytes(value);
    expect(() => parseDocument(data)).toThrow(
      expect.objectContaining({ code: 'IMAGE_INVALID', message: expect.stringContaining(why) }),
    );
  });

  it('refuses a document when its descriptor promised another type', () => {
    expect(() => parseDocument(bytes(manifest), MEDIA_TYPE.index)).toThrow(
      /expected "application\/vnd.oci.image.index/,
    );
  });
});

describe('parseConfig()', () => {
  it('keeps unknown fields and drops nulls when Go wrote it', () => {
    const text = { ...config, 'moby.x': { a: null }, config: { Env: null, Cmd: ['a'], X: 1 }, history: null };
    expect(parseConfig(bytes(text))).toEqual({
      ...config,
      'moby.x': { a: null },
      config: { Cmd: ['a'], X: 1 },
    });
    const scratch = { ...config, rootfs: { type: 'layers', diff_ids: null } };
    expect(parseConfig(bytes(scratch)).rootfs.diff_ids).toEqual([]);
    const empty = parseDocument(bytes({ ...manifest, layers: null }), MEDIA_TYPE.manifest);
    expect(empty).toMatchObject({ kind: 'manifest', manifest: { layers: [] } });
  });

  it.each([
    [{ ...config, os: undefined }, '"os" is missing'],
    [{ ...config, architecture: 1 }, '"architecture" is missing'],
    [{ ...config, rootfs: undefined }, '"rootfs" is missing'],
    [{ ...config, rootfs: { type: 'x', diff_ids: [] } }, 'rootfs.type is "x"'],
    [{ ...config, rootfs: { type: 'layers', diff_ids: ['x'] } }, 'which is no digest'],
    [{ ...config, history: {} }, '"history" is not'],
    [{ ...config, config: [] }, '"config" is not'],
  ])('refuses a config when it is wrong: %#', (value, why) => {
    expect(() => parseConfig(bytes(value))).toThrow(
      expect.objectContaining({ code: 'IMAGE_INVALID', message: expect.stringContaining(why) }),
    );
  });
});

describe('encodeDocument() and encodeConfig()', () => {
  it('write what BuildKit writes when given the same data', () => {
    expect(encodeDocument(manifest as Manifest).toString()).toMatch(/^\{\n {2}"schemaVersion": 2,\n/);
    const text = encodeConfig({ ...config, author: '<a>&\u2028' } as never).toString();
    expect(text).toContain('"author":"\\u003ca\\u003e\\u0026\\u2028"');
    expect(parseConfig(Buffer.from(text)).author).toBe('<a>&\u2028');
  });
});

describe('documentKind()', () => {
  it('tells manifests, indexes and the rest apart when given a media type', () => {
    expect(documentKind(MEDIA_TYPE.dockerManifest)).toBe('manifest');
    expect(documentKind(MEDIA_TYPE.index)).toBe('index');
    expect(documentKind(MEDIA_TYPE.layerGzip)).toBeUndefined();
  });
});
