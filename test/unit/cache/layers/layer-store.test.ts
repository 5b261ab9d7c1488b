import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createBlobFetcher } from '../../../../src/build/inputs/fetch-blob.ts';
import { createContentStore } from '../../../../src/cache/content-store.ts';
import { createLayerBlobs } from '../../../../src/cache/layers/layer-blobs.ts';
import { createLayerRows } from '../../../../src/cache/layers/layer-rows.ts';
import { createLayerStore } from '../../../../src/cache/layers/layer-store.ts';
import type { LayerOrigin, NewFilesLayer } from '../../../../src/cache/types.ts';
import { digestBytes } from '../../../../src/image/digest.ts';
import { type Descriptor, MEDIA_TYPE } from '../../../../src/image/types.ts';
import { EMPTY_LAYER } from '../../../../src/layer/layer-id.ts';
import { entryOf, foreignTar } from '../../../support/layers.ts';
import { tempDir, tempStore } from '../temp-store.ts';

const signal = new AbortController().signal;
const GZIP = { compression: 'gzip' } as const;
const ME = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const ORIGIN: LayerOrigin = { type: 'registry', name: 'docker.io/library/base:v1' };

/** A store beside a registry with one layer, which holds `d/f`. */
async function setUp() {
  const { root, db } = await tempStore();
  const [content, rows] = [createContentStore(root), createLayerRows(db)];
  const tar = await foreignTar([
    { name: 'd/', type: 'directory', ...ME },
    { name: 'd/f', data: 'hello', ...ME },
  ]);
  const blob = gzipSync(tar);
  const descriptor: Descriptor = {
    mediaType: MEDIA_TYPE.layerGzip,
    digest: digestBytes(blob),
    size: blob.length,
  };
  const fetched: string[] = [];
  const fetchBlob = async ({ digest }: Descriptor): Promise<Readable> => {
    fetched.push(digest);
    return Readable.from([blob]);
  };
  const registry = async () => ({ fetcher: () => ({ fetchBlob }), fetchExternal: fetchBlob });
  const fetch = createBlobFetcher({ content, registry, env: {}, onProgress: () => undefined });
  const open = (where = root) =>
    createLayerStore({
      root: where,
      content,
      rows,
      opaqueXattr: 'user.overlay.opaque',
      blobs: createLayerBlobs({ content, rows, fetch }),
    });
  const base = { diffId: digestBytes(tar), descriptor, origin: ORIGIN, blob };
  const leftovers = (): string[] => readdirSync(root.tmpDir);
  return { root, content, rows, store: open(), open, base, fetched, leftovers };
}

/** New files whose bytes lie in a directory of the test; says which were read. */
function filesLayer(
  text: string,
  forms: Partial<NewFilesLayer>,
): NewFilesLayer & { readonly read: string[] } {
  const file = join(tempDir(), 'f');
  writeFileSync(file, text);
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}` as const;
  const read: string[] = [];
  return {
    tree: [entryOf('f', 'file', { size: text.length, digest, ...ME })],
    content(entry) {
      read.push(entry.path);
      return { path: file };
    },
    snapshot: false,
    blob: undefined,
    read,
    ...forms,
  };
}

describe('createLayerStore() with a base layer', () => {
  it('moves nothing until bytes are asked for, then fetches once', async () => {
    const { store, base, fetched } = await setUp();
    const id = store.addBase(base);
    expect(store.available(id)).toBe(true);
    expect(fetched).toEqual([]);
    const [tree, snapshot, blob] = await Promise.all([
      store.tree(id, signal),
      store.snapshot(id, signal),
      store.blob(id, GZIP, signal),
    ]);
    expect(fetched).toEqual([base.descriptor.digest]);
    expect(tree.map(({ path }) => path)).toEqual(['d', 'd/f']);
    expect(readFileSync(join(snapshot, 'd/f'), 'utf8')).toBe('hello');
    expect(blob).toMatchObject({ descriptor: base.descriptor, diffId: base.diffId });
  });

  it('gives steps of any user a root that they can enter, whatever the umask is', async () => {
    const { store, base } = await setUp();
    const before = process.umask(0o077);
    try {
      const made = await store.addFiles(filesLayer('one', { snapshot: true }), signal);
      const ids = [store.addBase(base), made];
      const modes = ids.map(async (id) => statSync(await store.snapshot(id, signal)).mode & 0o7777);
      expect(await Promise.all(modes)).toEqual([0o755, 0o755]);
    } finally {
      process.umask(before);
    }
  });

  it('makes each form once, also for several who ask at a time and for the next process', async () => {
    const { store, open, base, rows, root, leftovers } = await setUp();
    const id = store.addBase(base);
    const made = await Promise.all([1, 2, 3].map(() => store.snapshot(id, signal)));
    expect(new Set(made).size).toBe(1);
    // A second one would have been made in vain and thrown away.
    expect([...readdirSync(root.trashDir), ...leftovers()]).toEqual([]);
    expect(readdirSync(root.snapshotsDir)).toHaveLength(1);
    const { ino } = statSync(made[0] ?? '');
    const later = open();
    expect(statSync(await later.snapshot(id, signal)).ino).toBe(ino);
    expect(await later.tree(id, signal)).toEqual(await store.tree(id, signal));
    expect(rows.get(id)).toMatchObject({ hasTree: true });
    expect(leftovers()).toEqual([]);
  });

  it('unpacks for the first who asks for the tree when a step will run on it', async () => {
    const { store, base, fetched, root } = await setUp();
    const id = store.addBase(base);
    store.willMount([id]);
    expect((await store.tree(id, signal)).map(({ path }) => path)).toEqual(['d', 'd/f']);
    expect(readdirSync(root.snapshotsDir)).toHaveLength(1);
    expect(fetched).toHaveLength(1);
    // The other way round a tree is nothing but a list.
    const other = await setUp();
    await other.store.tree(other.store.addBase(other.base), signal);
    expect(readdirSync(other.root.snapshotsDir)).toEqual([]);
  });

  it('reads the tree of a blob also when it cannot be kept', async () => {
    const { root, content, base, open, fetched } = await setUp();
    content.putBytes(base.blob);
    // Nothing can be made in /sys, whoever one is.
    const store = open({ ...root, tempPath: () => '/sys/ocibuild-tree' });
    const id = store.addBase(base);
    expect((await store.tree(id, signal)).map(({ path }) => path)).toEqual(['d', 'd/f']);
    expect(readdirSync(root.treesDir)).toEqual([]);
    expect(fetched).toEqual([]);
  });

  it('makes a form again when it is gone from the disk', async () => {
    const { open, base, root } = await setUp();
    const id = open().addBase(base);
    rmSync(join(await open().snapshot(id, signal), '..'), { recursive: true });
    expect(existsSync(join(await open().snapshot(id, signal), 'd/f'))).toBe(true);
    for (const name of readdirSync(root.treesDir)) writeFileSync(join(root.treesDir, name), '{');
    expect((await open().tree(id, signal)).map(({ path }) => path)).toEqual(['d', 'd/f']);
  });

  it('leaves its compression alone unless it is told to change it', async () => {
    const { store, base, content } = await setUp();
    const id = store.addBase(base);
    const zstd = { compression: 'zstd' } as const;
    expect((await store.blob(id, zstd, signal)).descriptor).toEqual(base.descriptor);
    const forced = await store.blob(id, { ...zstd, force: true }, signal);
    expect(forced.descriptor.mediaType).toBe(MEDIA_TYPE.layerZstd);
    expect(forced.diffId).toBe(base.diffId);
    expect(content.stat(forced.descriptor.digest)).toBe(forced.descriptor.size);
    expect((await store.blob(id, GZIP, signal)).descriptor).toEqual(base.descriptor);
  });

  it('throws LAYER_UNAVAILABLE when it is neither here nor to be had', async () => {
    const { store, base } = await setUp();
    const id = store.addBase({ ...base, origin: undefined });
    expect(store.available(id)).toBe(false);
    for (const form of [store.tree(id, signal), store.snapshot(id, signal), store.blob(id, GZIP, signal)]) {
      await expect(form).rejects.toMatchObject({ code: 'LAYER_UNAVAILABLE', details: { layer: id } });
    }
    // A failure is not kept: later the layer may be known.
    store.addBase(base);
    expect(await store.tree(id, signal)).toHaveLength(2);
  });

  it('leaves nothing behind when the blob is damaged', async () => {
    const { store, base, leftovers } = await setUp();
    const diffId = digestBytes(Buffer.from('other'));
    const id = store.addBase({ ...base, diffId });
    await expect(store.snapshot(id, signal)).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    expect(leftovers()).toEqual([]);
  });
});

describe('createLayerStore().addFiles()', () => {
  it('makes the forms that are asked for, and no others', async () => {
    const { store, rows, root, content } = await setUp();
    const snapshot = await store.addFiles(filesLayer('one', { snapshot: true }), signal);
    expect(rows.get(snapshot)).toMatchObject({ hasTree: true, snapshot: expect.any(String) });
    expect(content.list()).toEqual([]);
    const blob = await store.addFiles(filesLayer('two', { blob: GZIP }), signal);
    expect(rows.get(blob)).toMatchObject({ hasTree: true, blobDigest: expect.any(String) });
    expect(readdirSync(root.snapshotsDir)).toHaveLength(1);
  });

  it('has a snapshot where one was made, not where there is another form', async () => {
    const { store } = await setUp();
    const snapshot = await store.addFiles(filesLayer('one', { snapshot: true }), signal);
    const blob = await store.addFiles(filesLayer('two', { blob: GZIP }), signal);
    expect([snapshot, blob, EMPTY_LAYER].map(store.hasSnapshot)).toEqual([true, false, false]);
  });

  it('names equal trees equally, and reads the files of a known one no more', async () => {
    const { store } = await setUp();
    const id = await store.addFiles(filesLayer('one', { blob: GZIP }), signal);
    const again = filesLayer('one', { blob: GZIP });
    expect(await store.addFiles(again, signal)).toBe(id);
    expect(again.read).toEqual([]);
    expect(await store.addFiles(filesLayer('two', { blob: GZIP }), signal)).not.toBe(id);
  });

  it('packs from the snapshot when the blob is asked for later, to the same bytes', async () => {
    const { store } = await setUp();
    const other = await setUp();
    const fromSnapshot = await store.addFiles(filesLayer('one', { snapshot: true }), signal);
    const packed = await other.store.addFiles(filesLayer('one', { blob: GZIP }), signal);
    expect((await store.blob(fromSnapshot, GZIP, signal)).descriptor).toEqual(
      (await other.store.blob(packed, GZIP, signal)).descriptor,
    );
  });

  it('packs as it is asked, whatever an earlier build asked for', async () => {
    const { store, open } = await setUp();
    const id = await store.addFiles(filesLayer('one', { blob: { compression: 'zstd' } }), signal);
    const gzip = await open().blob(id, GZIP, signal);
    expect(gzip.descriptor.mediaType).toBe(MEDIA_TYPE.layerGzip);
    const again = await open().blob(id, { compression: 'zstd' }, signal);
    expect(again.descriptor.mediaType).toBe(MEDIA_TYPE.layerZstd);
    expect(again.diffId).toBe(gzip.diffId);
  });

  it('shares the files of an earlier version that are the same in every respect', async () => {
    const { store } = await setUp();
    const first = filesLayer('one', { snapshot: true });
    const extra = (mode: number) => [
      ...first.tree,
      entryOf('g', 'file', { ...first.tree[0], path: 'g', mode }),
    ];
    const before = await store.addFiles({ ...first, tree: extra(0o644) }, signal);
    first.read.length = 0;
    const after = await store.addFiles({ ...first, tree: extra(0o600), previous: [before] }, signal);
    const [old, now] = await Promise.all([before, after].map((id) => store.snapshot(id, signal)));
    const inode = (dir: string | undefined, name: string): number => statSync(join(dir ?? '', name)).ino;
    expect(inode(now, 'f')).toBe(inode(old, 'f'));
    expect(inode(now, 'g')).not.toBe(inode(old, 'g'));
    expect([old, now].map((dir) => statSync(join(dir ?? '', 'g')).mode & 0o777)).toEqual([0o644, 0o600]);
    expect(first.read).toEqual(['g']);
  });

  it('packs from the snapshot with the members of an earlier version when the blob is asked for later', async () => {
    const { store } = await setUp();
    const before = await store.addFiles(filesLayer('one', { blob: GZIP }), signal);
    const layer = filesLayer('two', { snapshot: true, previous: [before] });
    const id = await store.addFiles(layer, signal);
    const other = await setUp();
    const alone = await other.store.addFiles(filesLayer('two', { blob: GZIP }), signal);
    expect((await store.blob(id, GZIP, signal)).descriptor).toEqual(
      (await other.store.blob(alone, GZIP, signal)).descriptor,
    );
  });

  it('leaves nothing behind when a file has changed', async () => {
    const { store, leftovers } = await setUp();
    for (const forms of [{ snapshot: true }, { blob: GZIP }]) {
      const layer = filesLayer('one', forms);
      const [file] = layer.tree;
      const longer = { ...layer, tree: file === undefined ? [] : [{ ...file, size: 99 }] };
      await expect(store.addFiles(longer, signal)).rejects.toMatchObject({ code: 'CONTEXT_CHANGED' });
    }
    expect(leftovers()).toEqual([]);
  });
});

describe('createLayerStore() forms of equal layers', () => {
  it('are shared by layers of one diffID', async () => {
    const { store, open, root, base, rows } = await setUp();
    const made = await store.addFiles(filesLayer('one', { blob: GZIP }), signal);
    const { diffId, descriptor } = await store.blob(made, GZIP, signal);
    const twin = store.addBase({ diffId, descriptor, origin: undefined });
    const snapshot = await store.snapshot(twin, signal);
    expect(await open().snapshot(made, signal)).toBe(snapshot);
    expect(readdirSync(root.snapshotsDir)).toHaveLength(1);
    expect(await open().tree(made, signal)).toEqual(await open().tree(twin, signal));
    // Another layer with another content has no part in it.
    expect(await open().snapshot(store.addBase(base), signal)).not.toBe(snapshot);
    rows.delete(twin);
    expect(open().available(made)).toBe(true);
  });
});

describe('createLayerStore().newMutable()', () => {
  it('is the empty layer when nothing was written, and leaves nothing', async () => {
    const { store, root, leftovers } = await setUp();
    expect(await store.newMutable([]).commit()).toBe(EMPTY_LAYER);
    expect(leftovers()).toEqual([]);
    expect(readdirSync(root.snapshotsDir)).toEqual([]);
    expect(await store.tree(EMPTY_LAYER, signal)).toEqual([]);
    expect(store.available(EMPTY_LAYER)).toBe(true);
  });

  it('becomes a snapshot as it is, from which tree and blob are made', async () => {
    const { store, root, leftovers } = await setUp();
    const layer = store.newMutable([]);
    mkdirSync(join(layer.upper, 'd'));
    writeFileSync(join(layer.upper, 'd/f'), 'written');
    const { ino } = statSync(layer.upper);
    const id = await layer.commit();
    expect(statSync(await store.snapshot(id, signal)).ino).toBe(ino);
    expect(readdirSync(join(root.snapshotsDir, readdirSync(root.snapshotsDir)[0] ?? ''))).toEqual(['fs']);
    expect((await store.tree(id, signal)).map(({ path }) => path)).toEqual(['d', 'd/f']);
    expect((await store.blob(id, GZIP, signal)).descriptor.size).toBeGreaterThan(0);
    expect(leftovers()).toEqual([]);
  });

  it('gives the root directory the mode of the one below', async () => {
    const { store } = await setUp();
    const below = tempDir();
    expect(statSync(store.newMutable([below]).upper).mode & 0o7777).toBe(statSync(below).mode & 0o7777);
    expect(statSync(store.newMutable([]).upper).mode & 0o7777).toBe(0o755);
  });

  it('discard() takes what was written away', async () => {
    const { store, leftovers } = await setUp();
    const layer = store.newMutable([]);
    writeFileSync(join(layer.upper, 'f'), '');
    await layer.discard();
    expect(leftovers()).toEqual([]);
  });
});

describe('createLayerStore().dropBlob()', () => {
  it('forgets a blob that can be made again', async () => {
    const { store, content, rows } = await setUp();
    const id = await store.addFiles(filesLayer('one', { snapshot: true }), signal);
    const { descriptor } = await store.blob(id, GZIP, signal);
    store.dropBlob(descriptor.digest);
    expect(content.stat(descriptor.digest)).toBeUndefined();
    expect(rows.get(id)?.blobDigest).toBeUndefined();
    expect((await store.blob(id, GZIP, signal)).descriptor).toEqual(descriptor);
    expect(content.stat(descriptor.digest)).toBe(descriptor.size);
  });

  it('makes one that came from elsewhere come again', async () => {
    const { store, base, fetched } = await setUp();
    const id = store.addBase(base);
    await store.blob(id, GZIP, signal);
    store.dropBlob(base.descriptor.digest);
    expect(store.available(id)).toBe(true);
    expect((await store.blob(id, GZIP, signal)).descriptor).toEqual(base.descriptor);
    expect(fetched).toHaveLength(2);
  });

  it('leaves a layer without any form unavailable', async () => {
    const { store, open } = await setUp();
    const id = await store.addFiles(filesLayer('one', { blob: GZIP }), signal);
    const { descriptor } = await store.blob(id, GZIP, signal);
    store.dropBlob(descriptor.digest);
    expect(open().available(id)).toBe(false);
  });
});
