import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createBlobFetcher } from '../../../../src/build/inputs/fetch-blob.ts';
import { createContentStore } from '../../../../src/cache/content-store.ts';
import { createContentOnlyStore } from '../../../../src/cache/layers/content-only.ts';
import { createLayerBlobs } from '../../../../src/cache/layers/layer-blobs.ts';
import { createLayerRows } from '../../../../src/cache/layers/layer-rows.ts';
import { createLayerStore } from '../../../../src/cache/layers/layer-store.ts';
import type { LayerStore } from '../../../../src/cache/types.ts';
import { digestBytes } from '../../../../src/image/digest.ts';
import { type Descriptor, MEDIA_TYPE } from '../../../../src/image/types.ts';
import { foreignTar } from '../../../support/layers.ts';
import { tempStore } from '../../cache/temp-store.ts';
import { tempDir } from '../fixture.ts';

const signal = new AbortController().signal;
const ME = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const CHUNK = 64 << 10;
/** A worker unpacks what is this large; two of the fetcher's pieces and more. */
const FILE_BYTES = 700_000;

const contents = [randomBytes(FILE_BYTES), randomBytes(FILE_BYTES)];
const tar = await foreignTar(contents.map((data, i) => ({ name: `f${i}`, data, ...ME })));
const blob = gzipSync(tar);
const descriptor: Descriptor = {
  mediaType: MEDIA_TYPE.layerGzip,
  digest: digestBytes(blob),
  size: blob.length,
};

function* piecesOf(bytes: Buffer, from = 0): Generator<Buffer> {
  for (let at = from; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK);
}

/** A store whose base layer comes from a registry that sends `body`. */
async function setUp(body: () => AsyncIterable<Buffer> | Iterable<Buffer>) {
  const { root, db } = await tempStore();
  const [content, rows] = [createContentStore(root), createLayerRows(db)];
  let fetches = 0;
  const fetchBlob = async (_: Descriptor, options: { readonly signal: AbortSignal }): Promise<Readable> => {
    fetches++;
    const stream = Readable.from(body());
    options.signal.addEventListener('abort', () => stream.destroy(options.signal.reason));
    return stream;
  };
  const registry = async () => ({ fetcher: () => ({ fetchBlob }), fetchExternal: fetchBlob });
  const progress: number[] = [];
  const onProgress = (_: Descriptor, bytes: number): void => void progress.push(bytes);
  /** As another process would. */
  const open = (about: Partial<Parameters<LayerStore['addBase']>[0]> = {}) => {
    const fetch = createBlobFetcher({ content, registry, env: {}, onProgress });
    const blobs = createLayerBlobs({ content, rows, fetch });
    const layers = createLayerStore({ root, content, rows, blobs, opaqueXattr: 'user.overlay.opaque' });
    const origin = { type: 'registry', name: 'docker.io/library/base:v1' } as const;
    const id = layers.addBase({ diffId: digestBytes(tar), descriptor, origin, ...about });
    return { layers, blobs, id };
  };
  /** Everything that could have stayed. */
  const left = (): readonly string[] =>
    [root.tmpDir, root.snapshotsDir, root.treesDir, root.blobsDir].flatMap((dir) => readdirSync(dir));
  return { root, content, rows, progress, open, left, fetches: () => fetches };
}

/** The first file of a snapshot that is being made. */
function firstFile(tmpDir: string): string | undefined {
  return readdirSync(tmpDir)
    .map((name) => join(tmpDir, name, 'fs/f0'))
    .find((path) => existsSync(path));
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await sleep(5);
}

describe('createBlobFetcher()', () => {
  it('lets a layer be unpacked while it downloads', async () => {
    const half = blob.length >> 1;
    const store = await setUp(async function* () {
      yield* piecesOf(blob.subarray(0, half));
      // The rest comes only when the beginning stands in the snapshot.
      await until(() => firstFile(store.root.tmpDir) !== undefined);
      yield* piecesOf(blob, half);
    });
    const { layers, id } = store.open();
    const [snapshot, tree] = await Promise.all([layers.snapshot(id, signal), layers.tree(id, signal)]);
    for (const [i, data] of contents.entries()) {
      expect(readFileSync(join(snapshot, `f${i}`)).equals(data)).toBe(true);
    }
    expect(tree.map(({ digest }) => digest)).toEqual(contents.map((data) => digestBytes(data)));
    expect(store.content.stat(descriptor.digest)).toBe(blob.length);
    expect(store.fetches()).toBe(1);
    expect(store.progress.at(-1)).toBe(blob.length);
    expect(readdirSync(store.root.tmpDir)).toEqual([]);
  });

  it('fetches what a layout lacks from where its maker has it', async () => {
    const { open, content } = await setUp(() => piecesOf(blob));
    const origin = {
      type: 'layout',
      dir: tempDir({ 'oci-layout': '{"imageLayoutVersion":"1.0.0"}' }),
    } as const;
    const { layers, id } = open({ origin, descriptor: { ...descriptor, urls: ['https://a.test/blob'] } });
    await layers.tree(id, signal);
    expect(content.stat(descriptor.digest)).toBe(blob.length);
  });

  it('shares one download with whoever packs, lists and unpacks the layer', async () => {
    const store = await setUp(() => piecesOf(blob));
    const { layers, id } = store.open();
    await Promise.all([
      layers.blob(id, { compression: 'gzip' }, signal),
      layers.tree(id, signal),
      layers.snapshot(id, signal),
    ]);
    expect(store.fetches()).toBe(1);
  });

  it('makes one snapshot when two processes fetch the layer at a time', async () => {
    const store = await setUp(() => piecesOf(blob));
    const both = [store.open(), store.open()];
    const made = await Promise.all(both.map(({ layers, id }) => layers.snapshot(id, signal)));
    expect(store.fetches()).toBe(2);
    expect(new Set(made).size).toBe(1);
    expect(readFileSync(join(made[0] ?? '', 'f1')).equals(contents[1] ?? Buffer.of())).toBe(true);
    expect(readdirSync(store.root.tmpDir)).toEqual([]);
  });

  it('unpacks for a process that may make no devices, too', async () => {
    const store = await setUp(() => piecesOf(blob));
    const { layers, blobs, id } = store.open();
    const contentOnly = createContentOnlyStore(layers, blobs, store.root);
    const snapshot = await contentOnly.snapshot(id, signal);
    expect(readFileSync(join(snapshot, 'f0')).equals(contents[0] ?? Buffer.of())).toBe(true);
    expect(store.fetches()).toBe(1);
    contentOnly.discardSnapshots();
    expect(readdirSync(store.root.tmpDir)).toEqual([]);
  });

  const damaged = Buffer.from(blob);
  damaged.writeUInt8(damaged.readUInt8(blob.length >> 1) ^ 1, blob.length >> 1);
  // Random bytes are stored as they are, so gzip notices nothing before its checksum at the end.
  it.each<[string, Buffer, RegExp]>([
    ['one byte in the middle is wrong', damaged, /the digest "sha256:/],
    ['it ends too early', blob.subarray(0, -CHUNK), /B instead of/],
    ['it goes on', Buffer.concat([blob, Buffer.alloc(CHUNK)]), /more than/],
  ])('keeps nothing of a layer when %s', async (_, sent, message) => {
    const store = await setUp(() => piecesOf(sent));
    const { layers, id } = store.open();
    for (const form of [layers.snapshot(id, signal), layers.tree(id, signal)]) {
      await expect(form).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringMatching(message),
      });
    }
    expect(store.left()).toEqual([]);
    expect(store.rows.get(id)).toMatchObject({ hasTree: false });
    expect(store.rows.get(id)?.snapshot).toBeUndefined();
  });

  it('keeps nothing when it is cancelled in the middle, and begins anew after that', async () => {
    const controller = new AbortController();
    let cancels = true;
    const store = await setUp(async function* () {
      yield* piecesOf(blob.subarray(0, blob.length >> 1));
      if (cancels) {
        await until(() => firstFile(store.root.tmpDir) !== undefined);
        controller.abort();
        await sleep(10_000, undefined, { signal: controller.signal });
      }
      yield* piecesOf(blob, blob.length >> 1);
    });
    const { layers, id } = store.open();
    await expect(layers.snapshot(id, controller.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
    await layers.settled();
    expect(store.left()).toEqual([]);
    cancels = false;
    expect(existsSync(join(await layers.snapshot(id, signal), 'f1'))).toBe(true);
  });
});
