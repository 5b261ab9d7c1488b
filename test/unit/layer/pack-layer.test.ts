import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { packLayer } from '../../../src/layer/pack-layer.ts';
import { treeDigest } from '../../../src/layer/tree/tree.ts';
import type { Tree } from '../../../src/layer/types.ts';
import { readTree } from '../../../src/layer/unpack-layer.ts';
import { createScratch, decompressed, entryOf, type Scratch, sha256 } from '../../support/layers.ts';

const signal = new AbortController().signal;

/** Files of 64 KiB, the one in the middle larger than a chunk. */
function treeOfMany(scratch: Scratch, count: number): Tree {
  // Repeats, so that compressing it takes no time that a unit test should not take.
  const noise = Buffer.alloc(64 << 10, randomBytes(512));
  const tree = [entryOf('app', 'dir')];
  for (let i = 0; i < count; i++) {
    const name = `app/f${String(i).padStart(3, '0')}`;
    const data = i === count / 2 ? Buffer.alloc(5_000_001, noise) : Buffer.concat([Buffer.from(name), noise]);
    tree.push({ ...scratch.file(name, data), digest: sha256(data) });
  }
  return tree;
}

describe('packLayer()', () => {
  it.each(['uncompressed', 'gzip', 'zstd'] as const)(
    'gives true digests and sizes when it is %s',
    async (compression) => {
      using scratch = createScratch();
      const packed = await scratch.pack([entryOf('d', 'dir'), scratch.file('d/f', 'hello')], { compression });
      const blob = readFileSync(packed.blob);
      const tar = decompressed(blob);
      expect([packed.digest, packed.size]).toEqual([sha256(blob), blob.length]);
      expect([packed.diffId, packed.tarSize]).toEqual([sha256(tar), tar.length]);
      expect(packed.tree[1]?.digest).toBe(sha256('hello'));
      expect(tar.subarray(-1024).every((byte) => byte === 0)).toBe(true);
    },
  );

  it('has two zero blocks and nothing else when the tree is empty', async () => {
    using scratch = createScratch();
    const packed = await scratch.pack([], { compression: 'uncompressed' });
    expect(readFileSync(packed.blob)).toEqual(Buffer.alloc(1024));
  });

  it('gives the same blob when digests were known, unknown, or members were copied', async () => {
    using scratch = createScratch();
    const tree = treeOfMany(scratch, 60);
    const cold = await scratch.pack(tree);
    const unknown = await scratch.pack(tree.map(({ digest: _, ...entry }) => entry));
    const warm = await scratch.pack(tree, { previous: [{ blob: cold.blob, index: cold.index! }] });
    expect(unknown.digest).toBe(cold.digest);
    expect(unknown.index).toEqual(cold.index);
    expect(unknown.tree).toEqual(cold.tree);
    expect(warm).toMatchObject({ digest: cold.digest, diffId: cold.diffId, index: cold.index });
  });

  it('reads nothing before the first change when a previous blob and its states are there', async () => {
    using scratch = createScratch();
    // States are kept in archives of 16 MiB and more.
    const tree = treeOfMany(scratch, 240);
    const cold = await scratch.pack(tree);
    const changed = tree.map((entry) =>
      entry.path === 'app/f200' ? { ...scratch.file(entry.path, 'new'), digest: sha256('new') } : entry,
    );
    const read: string[] = [];
    const content = (entry: (typeof tree)[number]) => {
      read.push(entry.path);
      return scratch.content(entry);
    };
    const warm = await scratch.pack(changed, {
      content,
      previous: [{ blob: cold.blob, index: cold.index! }],
    });
    const fresh = await scratch.pack(changed);
    expect(warm).toMatchObject({ digest: fresh.digest, diffId: fresh.diffId, index: fresh.index });
    expect(read).toContain('app/f200');
    expect(read).not.toContain('app/f100');
    const copied = new Set(cold.index!.chunks.map((chunk) => chunk.key));
    const made = warm.index!.chunks.filter((chunk) => !copied.has(chunk.key));
    expect(made.length).toBeLessThanOrEqual(2);
  });

  it('makes a member anew when the one in the previous blob is damaged', async () => {
    using scratch = createScratch();
    const tree = treeOfMany(scratch, 60);
    const cold = await scratch.pack(tree);
    const bytes = readFileSync(cold.blob);
    const at = cold.index!.chunks[2]!.offset + 40;
    bytes[at] = bytes[at]! ^ 0xff;
    writeFileSync(cold.blob, bytes);
    const warm = await scratch.pack(tree, { previous: [{ blob: cold.blob, index: cold.index! }] });
    expect(warm).toMatchObject({ digest: cold.digest, diffId: cold.diffId });
    rmSync(cold.blob);
    const without = await scratch.pack(tree, { previous: [{ blob: cold.blob, index: cold.index! }] });
    expect(without.digest).toBe(cold.digest);
  });

  it('copies no member when level or method differ', async () => {
    using scratch = createScratch();
    const tree = treeOfMany(scratch, 60);
    const one = await scratch.pack(tree, { level: 1 });
    const six = await scratch.pack(tree, { level: 6, previous: [{ blob: one.blob, index: one.index! }] });
    expect(six.digest).toBe((await scratch.pack(tree, { level: 6 })).digest);
    expect(six.size).toBeLessThan(one.size);
    expect(gunzipSync(readFileSync(six.blob)).length).toBe(six.tarSize);
  });

  it('is read back equal when every type of entry is in it', async () => {
    using scratch = createScratch();
    const tree = [
      entryOf('', 'dir', { mode: 0o700 }),
      entryOf('gone', 'whiteout'),
      entryOf('dev', 'dir'),
      entryOf('dev', 'opaque'),
      entryOf('dev/b', 'block', { devMajor: 8, devMinor: 300 }),
      entryOf('dev/c', 'char', { devMajor: 1, devMinor: 3 }),
      entryOf('dev/p', 'fifo'),
      scratch.file('f', 'data', { mode: 0o4711, uid: 3_000_000, xattrs: { 'user.x': '/wA=' } }),
      entryOf('l', 'symlink', { link: '/dev/c', mode: 0o777 }),
      entryOf('z', 'hardlink', { link: 'f', mode: 0o4711, uid: 3_000_000, xattrs: { 'user.x': '/wA=' } }),
    ];
    const packed = await scratch.pack(tree);
    const { tree: read, diffId } = await readTree({ path: packed.blob }, { signal, size: packed.size });
    expect(read).toEqual(packed.tree);
    expect(diffId).toBe(packed.diffId);
    expect(treeDigest(read)).toBe(treeDigest(packed.tree));
  });

  it.each<[string, string, (at: string) => void]>([
    ['grew', 'CONTEXT_CHANGED', (at) => writeFileSync(at, 'longer than before')],
    ['shrank', 'CONTEXT_CHANGED', (at) => writeFileSync(at, '')],
    ['was touched', 'CONTEXT_CHANGED', (at) => utimesSync(at, 1, 1)],
    ['is gone', 'CONTEXT_CHANGED', (at) => rmSync(at)],
  ])('throws and removes the blob when a file %s', async (_, code, change) => {
    using scratch = createScratch();
    const file = scratch.file('a/file', 'content');
    const { path } = scratch.content(file);
    utimesSync(path, 50, 50);
    change(String(path));
    const dest = scratch.path('blob');
    const content = () => ({ path, mtimeMs: 50_000 });
    await expect(scratch.pack([file], { dest, content })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(String(path)),
    });
    expect(existsSync(dest)).toBe(false);
  });

  it('throws CONTEXT_UNREADABLE when a file cannot be read', async () => {
    using scratch = createScratch();
    const content = () => ({ path: '/proc/self/mem' });
    await expect(scratch.pack([entryOf('m', 'file', { size: 10 })], { content })).rejects.toMatchObject({
      code: 'CONTEXT_UNREADABLE',
    });
  });

  it('throws CANCELLED and removes the blob when the signal fires on the way', async () => {
    using scratch = createScratch();
    const tree = treeOfMany(scratch, 60);
    const controller = new AbortController();
    const dest = scratch.path('blob');
    const running = scratch.pack(tree, {
      dest,
      signal: controller.signal,
      content(entry) {
        if (entry.path === 'app/f020') controller.abort();
        // The pause for other work is where the signal is looked at.
        const until = performance.now() + 1;
        while (performance.now() < until);
        return scratch.content(entry);
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(existsSync(dest)).toBe(false);
  });

  it('leaves a file alone when it stands at the destination already', async () => {
    using scratch = createScratch();
    const dest = scratch.path('taken');
    writeFileSync(dest, 'mine');
    await expect(scratch.pack([], { dest })).rejects.toMatchObject({ code: 'SYSCALL_FAILED' });
    expect(readFileSync(dest, 'utf8')).toBe('mine');
  });

  it.each([
    ['a path comes twice', [entryOf('a', 'dir'), entryOf('a', 'dir')]],
    ['a hard link has no file', [entryOf('a', 'hardlink', { link: 'b' })]],
  ])('throws INTERNAL when %s', async (_, tree) => {
    using scratch = createScratch();
    await expect(scratch.pack(tree)).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('throws RangeError when a level does not exist', async () => {
    const options = {
      compression: 'gzip',
      level: 10,
      dest: '/nowhere',
      content: () => ({ path: '' }),
      signal,
    } as const;
    await expect(packLayer([], options)).rejects.toThrow(RangeError);
  });
});
