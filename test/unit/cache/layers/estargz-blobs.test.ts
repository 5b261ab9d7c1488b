import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createBlobFetcher } from '../../../../src/build/inputs/fetch-blob.ts';
import { createContentStore } from '../../../../src/cache/content-store.ts';
import { createLayerBlobs } from '../../../../src/cache/layers/layer-blobs.ts';
import { createLayerRows } from '../../../../src/cache/layers/layer-rows.ts';
import { createLayerStore } from '../../../../src/cache/layers/layer-store.ts';
import { createTocTrees } from '../../../../src/cache/layers/toc-trees.ts';
import type { LayerOrigin } from '../../../../src/cache/types.ts';
import { digestBytes } from '../../../../src/image/digest.ts';
import { ANNOTATION, type Descriptor, MEDIA_TYPE } from '../../../../src/image/types.ts';
import { recompressAsEstargz } from '../../../../src/layer/compression/recompress.ts';
import { createScratch, entryOf, foreignTar, sha256 } from '../../../support/layers.ts';
import { tempDir, tempStore } from '../temp-store.ts';

const signal = new AbortController().signal;
const ESTARGZ = { compression: 'estargz' } as const;
const GZIP = { compression: 'gzip' } as const;
const ORIGIN: LayerOrigin = { type: 'registry', name: 'docker.io/library/base:v1' };
const ME = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

/** A store beside a registry with one blob, which notes the offsets that it was asked for. */
async function setUp(blob: Buffer) {
  const { root, db } = await tempStore();
  const [content, rows] = [createContentStore(root), createLayerRows(db)];
  const asked: number[] = [];
  const fetchBlob = async (_: Descriptor, { offset = 0 }: { offset?: number }): Promise<Readable> => {
    asked.push(offset);
    return Readable.from([blob.subarray(offset)]);
  };
  const registry = async () => ({ fetcher: () => ({ fetchBlob }), fetchExternal: fetchBlob });
  const fetch = createBlobFetcher({ content, registry, env: {}, onProgress: () => undefined });
  const open = () => {
    const blobs = createLayerBlobs({ content, rows, fetch });
    const remoteTree = createTocTrees(blobs, async (_origin, descriptor, { offset }) => {
      for await (const bytes of await fetchBlob(descriptor, { offset })) return bytes as Buffer;
      return Buffer.alloc(0);
    });
    return createLayerStore({ root, content, rows, blobs, remoteTree, opaqueXattr: 'user.overlay.opaque' });
  };
  return { store: open(), open, rows, asked, blobs: () => content.list().length };
}

const sample = () =>
  foreignTar([
    { name: 'd/', type: 'directory', mode: 0o750, ...ME },
    { name: 'd/f', data: 'hello', ...ME },
  ]);

async function estargzBase() {
  using scratch = createScratch();
  const source = gzipSync(await sample());
  writeFileSync(scratch.path('source'), source);
  const from = { mediaType: MEDIA_TYPE.layerGzip, digest: sha256(source), size: source.length };
  const made = await recompressAsEstargz(scratch.path('source'), scratch.path('blob'), { from, signal });
  return { blob: readFileSync(scratch.path('blob')), base: { ...made, origin: ORIGIN } };
}

describe('blob() of a layer store with compression estargz', () => {
  it('makes a layer of its own, once, and leaves what the layer is known by', async () => {
    const { store, open, rows, blobs } = await setUp(Buffer.alloc(0));
    const file = join(tempDir(), 'f');
    writeFileSync(file, 'text');
    const tree = [entryOf('f', 'file', { size: 4, digest: sha256('text'), ...ME })];
    const id = await store.addFiles(
      { tree, content: () => ({ path: file }), snapshot: false, blob: ESTARGZ },
      signal,
    );
    const known = rows.get(id);
    expect(blobs()).toBe(1);
    const made = await store.blob(id, ESTARGZ, signal);
    expect(made.descriptor.annotations?.[ANNOTATION.tocDigest]).toBeDefined();
    expect(made.diffId).not.toBe(known?.diffId);
    expect(rows.get(id)).toMatchObject({
      diffId: known?.diffId,
      blobDigest: known?.blobDigest,
      mediaType: MEDIA_TYPE.layerGzip,
    });
    expect((await store.blob(id, GZIP, signal)).diffId).toBe(known?.diffId);
    expect(await open().blob(id, ESTARGZ, signal)).toEqual(made);
    expect(blobs()).toBe(2);
    expect((await store.tree(id, signal)).map(({ path }) => path)).toEqual(['f']);
  });

  it('leaves a base as it came, unless it is forced', async () => {
    const tar = await sample();
    const blob = gzipSync(tar);
    const descriptor = { mediaType: MEDIA_TYPE.layerGzip, digest: digestBytes(blob), size: blob.length };
    const { store, asked } = await setUp(blob);
    const id = store.addBase({ diffId: digestBytes(tar), descriptor, origin: ORIGIN });
    expect(await store.blob(id, { ...ESTARGZ, mayBeRemote: true }, signal)).toMatchObject({ descriptor });
    expect(asked).toEqual([]);
    const forced = await store.blob(id, { ...ESTARGZ, force: true, mayBeRemote: true }, signal);
    expect(forced.diffId).not.toBe(id);
    expect(asked).toEqual([0]);
  });

  it('takes an eStargz base as it is, with what is said about its bytes; as gzip it keeps its tar', async () => {
    const { blob, base } = await estargzBase();
    const { store, open } = await setUp(blob);
    const id = store.addBase(base);
    expect(await open().blob(id, { ...ESTARGZ, force: true }, signal)).toMatchObject({
      descriptor: base.descriptor,
    });
    const gzip = await open().blob(id, { ...GZIP, force: true }, signal);
    expect(gzip).toMatchObject({ diffId: base.diffId });
    expect(gzip.descriptor.annotations).toBeUndefined();
  });
});

describe('tree() of an eStargz layer that is elsewhere', () => {
  it('is read from the list at its end, and from the layer where there is none', async () => {
    const { blob, base } = await estargzBase();
    const { store, open, asked, rows } = await setUp(blob);
    const id = store.addBase(base);
    const listed = await store.tree(id, signal);
    expect(asked).toHaveLength(2);
    expect(asked[0]).toBe(blob.length - 51);
    // Times of other writers are rounded: what is kept comes from the layer.
    expect(rows.get(id)?.hasTree).toBe(false);
    rows.update(id, { annotations: { [ANNOTATION.tocDigest]: sha256('another list') } });
    expect(await open().tree(id, signal)).toEqual(listed);
    expect(asked.slice(2)).toEqual([blob.length - 51, expect.any(Number), 0]);
  });
});
