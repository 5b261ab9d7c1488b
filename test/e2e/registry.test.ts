import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig, parseDocument } from '../../src/image/manifest.ts';
import { parseReference } from '../../src/image/reference.ts';
import { type Descriptor, MEDIA_TYPE } from '../../src/image/types.ts';
import { createResolver } from '../../src/registry/resolver.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const signal = new AbortController().signal;
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-registry-'));
const layout = join(dir, 'layout');
const big = Buffer.alloc(3_000_000, 'a pattern that gzip shrinks ');
let registry: TestRegistry;
let image: Descriptor;
let index: Descriptor;

beforeAll(async () => {
  registry = await startRegistry();
  image = await makeLayout(layout, 'one', {
    layers: [{ 'etc/motd': 'hello' }, { big }],
    config: { Env: ['A=1'] },
  });
  index = await makeLayout(layout, 'many', [
    { layers: [{ arch: 'amd64' }] },
    { layers: [{ arch: 'arm64' }], platform: { os: 'linux', architecture: 'arm64' } },
  ]);
  await registry.push(layout, 'one', 'team/app:v1');
  await registry.push(layout, 'many', 'team/app:many');
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const resolver = createResolver({ env: {} });
const ref = (rest: string) => parseReference(`${registry.host}/team/${rest}`);

describe('createResolver() against docker-registry', () => {
  it('resolve() gives the pushed manifest byte for byte when asked by tag', async () => {
    const { descriptor, bytes } = await resolver.resolve(ref('app:v1'), { signal });
    expect(descriptor).toEqual({ mediaType: MEDIA_TYPE.manifest, digest: image.digest, size: image.size });
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(image.digest.slice(7));
  });

  it('resolve() gives the same manifest when asked by digest, with or without tag', async () => {
    for (const name of [`app@${image.digest}`, `app:v1@${image.digest}`]) {
      expect((await resolver.resolve(ref(name), { signal })).descriptor.digest).toBe(image.digest);
    }
  });

  it('resolve() gives an index whose children can be fetched when the tag holds several platforms', async () => {
    const many = ref('app:many');
    const { descriptor, bytes } = await resolver.resolve(many, { signal });
    expect(descriptor).toEqual({ mediaType: MEDIA_TYPE.index, digest: index.digest, size: index.size });
    const document = parseDocument(bytes);
    const children = document.kind === 'index' ? document.index.manifests : [];
    expect(children.map((child) => child.platform?.architecture)).toEqual(['amd64', 'arm64']);
    for (const child of children) {
      const manifest = parseDocument(await resolver.fetcher(many).fetchBytes(child, { signal }));
      expect(manifest.kind).toBe('manifest');
    }
  });

  it('fetcher() gives config and layers when a manifest names them', async () => {
    const name = ref('app:v1');
    const { bytes } = await resolver.resolve(name, { signal });
    const document = parseDocument(bytes);
    if (document.kind !== 'manifest') throw new Error('expected a manifest');
    const fetcher = resolver.fetcher(name);
    const config = parseConfig(await fetcher.fetchBytes(document.manifest.config, { signal }));
    expect(config.config?.Env).toEqual(['A=1']);
    for (const layer of document.manifest.layers) {
      const blob = await buffer(await fetcher.fetchBlob(layer, { signal }));
      expect(`sha256:${createHash('sha256').update(blob).digest('hex')}`).toBe(layer.digest);
    }
  });

  it('resolve() makes no GET when the tag points to a manifest that is known', async () => {
    const { bytes } = await resolver.resolve(ref('app:v1'), { signal });
    const asked: string[] = [];
    const known = async (digest: string): Promise<Buffer> => {
      asked.push(digest);
      return bytes;
    };
    expect((await resolver.resolve(ref('app:v1'), { signal, known })).descriptor.digest).toBe(image.digest);
    expect(asked).toEqual([image.digest]);
  });

  it('resolve() tells the registry words when the tag is missing', async () => {
    await expect(resolver.resolve(ref('app:nope'), { signal })).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
      message: expect.stringMatching(/^Cannot pull ".*team\/app:nope" from ".*": .*404.*MANIFEST_UNKNOWN/),
    });
  });

  it('fetchBlob() rejects before any byte when the blob is missing', async () => {
    const gone: Descriptor = {
      mediaType: MEDIA_TYPE.layerGzip,
      digest: `sha256:${'0'.repeat(64)}`,
      size: 10,
    };
    await expect(resolver.fetcher(ref('app')).fetchBlob(gone, { signal })).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
      message: expect.stringContaining('BLOB_UNKNOWN'),
    });
  });

  it('resolve() is unreachable at once when nothing listens', async () => {
    const start = Date.now();
    await expect(resolver.resolve(parseReference('127.0.0.1:1/a:b'), { signal })).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      category: 'registry',
    });
    expect(Date.now() - start).toBeLessThan(2000);
  });
});
