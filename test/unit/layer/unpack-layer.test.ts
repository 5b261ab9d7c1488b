import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { applyLayer, readTree, unpackLayer } from '../../../src/layer/unpack-layer.ts';
import {
  createScratch,
  foreignTar,
  growingFile,
  type Member,
  sha256,
  streamOf,
} from '../../support/layers.ts';

const signal = new AbortController().signal;
const opaqueXattr = 'user.overlay.opaque';
const ignoreOwners = true;

async function treeOf(...members: Member[]): Promise<string[]> {
  const tar = await foreignTar(members);
  const { tree } = await readTree({ stream: streamOf(tar) }, { signal, size: tar.length });
  return tree.map(
    (entry) => `${entry.type} ${entry.path}${entry.link === undefined ? '' : ` -> ${entry.link}`}`,
  );
}

describe('readTree()', () => {
  it.each<[string, (tar: Buffer) => Buffer]>([
    ['plain', (tar) => tar],
    ['gzip', (tar) => gzipSync(tar)],
    [
      'gzip of two members',
      (tar) => Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]),
    ],
    ['zstd', (tar) => zstdCompressSync(tar)],
    [
      'zstd of two frames',
      (tar) => Buffer.concat([zstdCompressSync(tar.subarray(0, 700)), zstdCompressSync(tar.subarray(700))]),
    ],
  ])('gives diffID, size and file digests when the blob is %s', async (_, compress) => {
    const tar = await foreignTar([
      { name: 'a', data: 'hello' },
      { name: 'big', data: Buffer.alloc(70_000, 'x') },
    ]);
    const blob = compress(tar);
    // Without a size the blob may be large, and a worker reads it.
    for (const size of blob[0] === 0x1f ? [blob.length, undefined] : [blob.length]) {
      const expected = { digest: sha256(blob), diffId: sha256(tar), ...(size === undefined ? {} : { size }) };
      const layer = await readTree({ stream: streamOf(blob, 1000) }, { signal, ...expected });
      expect(layer).toMatchObject({ diffId: sha256(tar), tarSize: tar.length });
      expect(layer.tree.map((entry) => entry.digest)).toEqual([
        sha256('hello'),
        sha256(Buffer.alloc(70_000, 'x')),
      ]);
    }
  });

  it('cleans names when they are absolute, dotted or repeated', async () => {
    const tree = await treeOf(
      { name: '/abs', data: '1' },
      { name: './dot//x', data: '2' },
      { name: 'a/../b', data: '3' },
      { name: 'abs', data: '4' },
    );
    expect(tree).toEqual(['file abs', 'file b', 'file dot/x']);
  });

  it('fills the holes of sparse files, as other readers do', async () => {
    const map = 'GNU.sparse.';
    const tar = await foreignTar([
      {
        name: 'GNUSparseFile.1/s',
        data: `1\n1000\n3\n${'\0'.repeat(503)}end`,
        pax: { [`${map}major`]: '1', [`${map}minor`]: '0', [`${map}name`]: 's', [`${map}realsize`]: '1003' },
      },
    ]);
    const { tree } = await readTree({ stream: streamOf(tar) }, { signal, size: tar.length });
    const content = Buffer.concat([Buffer.alloc(1000), Buffer.from('end')]);
    expect(tree).toMatchObject([{ path: 's', size: 1003, digest: sha256(content) }]);
  });

  it('follows symlinks of the layer when a name goes through them', async () => {
    const tree = await treeOf(
      { name: 'lib', type: 'symlink', linkname: '/usr/../usr/lib' },
      { name: 'lib/x', data: '1' },
      { name: 'up', type: 'symlink', linkname: '../../../etc' },
      { name: 'up/y', data: '2' },
    );
    expect(tree).toEqual([
      'file etc/y',
      'symlink lib -> /usr/../usr/lib',
      'symlink up -> ../../../etc',
      'file usr/lib/x',
    ]);
  });

  it('keeps an inode at its other name when the first is replaced', async () => {
    const tree = await treeOf(
      { name: 'a', data: 'old' },
      { name: 'b', type: 'link', linkname: 'a' },
      { name: 'c', type: 'link', linkname: 'b' },
      { name: 'a', data: 'new' },
    );
    expect(tree).toEqual(['file a', 'file b', 'hardlink c -> b']);
  });

  it('drops children when a file takes the place of their directory', async () => {
    const tree = await treeOf(
      { name: 'd/', type: 'directory' },
      { name: 'd/x', data: '1' },
      { name: 'd', data: '2' },
    );
    expect(tree).toEqual(['file d']);
  });

  it('knows deletions when names carry the prefix', async () => {
    const tree = await treeOf(
      { name: 'd/.wh.x' },
      { name: 'd/.wh..wh..opq' },
      { name: '.wh..wh.plnk/1', data: 'aufs' },
      { name: '.wh..wh.aufs', data: 'aufs' },
    );
    expect(tree).toEqual(['opaque d', 'whiteout d/x']);
  });

  it.each<[string, Member[]]>([
    ['a name leaves the root', [{ name: '../x', data: '1' }]],
    ['a name leaves it on a detour', [{ name: 'a/../../x', data: '1' }]],
    ['a whiteout hides nothing', [{ name: '.wh.' }]],
    ['a whiteout hides the parent', [{ name: 'a/.wh...' }]],
    ['a name lies below a whiteout', [{ name: '.wh.a/b', data: '1' }]],
    ['a link leaves the root', [{ name: 'a', type: 'link', linkname: '../../etc/passwd' }]],
    ['a link has no target', [{ name: 'a', type: 'link', linkname: 'b' }]],
    [
      'a link leads to a directory',
      [
        { name: 'd/', type: 'directory' },
        { name: 'a', type: 'link', linkname: 'd' },
      ],
    ],
    [
      'symlinks go in a circle',
      [
        { name: 'a', type: 'symlink', linkname: 'b' },
        { name: 'b', type: 'symlink', linkname: 'a' },
        { name: 'a/x', data: '1' },
      ],
    ],
    [
      'a file holds members',
      [
        { name: 'a', data: '1' },
        { name: 'a/x', data: '2' },
      ],
    ],
    ['the root is a symlink', [{ name: './', type: 'symlink', linkname: 'x' }]],
  ])('throws LAYER_INVALID when %s', async (_, members) => {
    await expect(treeOf(...members)).rejects.toMatchObject({ code: 'LAYER_INVALID' });
  });

  it.each<[string, string, (blob: Buffer) => Buffer]>([
    ['it is longer', 'BLOB_SIZE_MISMATCH', (blob) => Buffer.concat([blob, Buffer.from('x')])],
    ['it is shorter', 'BLOB_SIZE_MISMATCH', (blob) => blob.subarray(0, -1)],
    [
      'a byte of its content is damaged',
      'BLOB_DIGEST_MISMATCH',
      (blob) => {
        const copy = Buffer.from(blob);
        copy[200] = copy[200]! ^ 1;
        return copy;
      },
    ],
    ['it is something else', 'BLOB_DIGEST_MISMATCH', (blob) => Buffer.alloc(blob.length, 'no')],
  ])('throws the right mismatch when %s', async (_, code, damage) => {
    const blob = gzipSync(await foreignTar([{ name: 'a', data: randomBytes(3000) }]));
    const options = { signal, digest: sha256(blob), size: blob.length };
    await expect(readTree({ stream: streamOf(damage(blob), 100) }, options)).rejects.toMatchObject({ code });
  });

  it('throws BLOB_DIGEST_MISMATCH when the tar is not the one of the diffID', async () => {
    const blob = gzipSync(await foreignTar([{ name: 'a' }]));
    const options = { signal, size: blob.length, diffId: sha256('other') };
    await expect(readTree({ stream: streamOf(blob) }, options)).rejects.toMatchObject({
      code: 'BLOB_DIGEST_MISMATCH',
    });
  });

  it.each([
    gzipSync('text that is no archive'),
    gzipSync(Buffer.alloc(2000, 'x')).subarray(0, 30),
    Buffer.from('BZh9'),
  ])('throws LAYER_INVALID when nothing is known about a broken blob (%#)', async (blob) => {
    const options = { signal, size: blob.length };
    await expect(readTree({ stream: streamOf(blob) }, options)).rejects.toMatchObject({
      code: 'LAYER_INVALID',
    });
  });

  it('throws BLOB_NOT_FOUND when the file is not there', async () => {
    for (const size of [10, undefined]) {
      const options = { signal, ...(size === undefined ? {} : { size }) };
      await expect(readTree({ path: '/nowhere/blob' }, options)).rejects.toMatchObject({
        code: 'BLOB_NOT_FOUND',
      });
    }
  });

  it('throws CANCELLED when the signal fires while a worker reads', async () => {
    using scratch = createScratch();
    const controller = new AbortController();
    const blob = gzipSync(await foreignTar([{ name: 'f', data: randomBytes(1 << 20) }]));
    using growing = growingFile(scratch.path('blob'), blob.subarray(0, -1), { ends: false });
    const reading = readTree(
      { growing },
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(growing.watchers.size).toBe(0);
  });

  it.each([true, false])('follows a file that is still written when a worker is used: %s', async (worker) => {
    using scratch = createScratch();
    const tar = await foreignTar([{ name: 'f', data: randomBytes(worker ? 1 << 20 : 1 << 16) }]);
    const blob = gzipSync(tar);
    using growing = growingFile(scratch.path('blob'), blob, { pieceSize: 100_000 });
    const expected = { digest: sha256(blob), size: blob.length, diffId: sha256(tar) };
    const { tree } = await readTree({ growing }, { signal, ...expected });
    expect(tree.map(({ path }) => path)).toEqual(['f']);
    expect(growing.watchers.size).toBe(0);
  });

  it('throws BLOB_SIZE_MISMATCH when the file ends too early', async () => {
    using scratch = createScratch();
    const blob = gzipSync(await foreignTar([{ name: 'f', data: randomBytes(1 << 20) }]));
    using growing = growingFile(scratch.path('blob'), blob.subarray(0, 500_000), { pieceSize: 100_000 });
    await expect(readTree({ growing }, { signal, size: blob.length })).rejects.toMatchObject({
      code: 'BLOB_SIZE_MISMATCH',
    });
  });
});

describe('unpackLayer()', () => {
  it('leaves owner and mode of the root as they are where no layer may change them', async () => {
    using scratch = createScratch();
    const tar = await foreignTar([
      { name: './', type: 'directory', mode: 0o700 },
      { name: './a', data: '1' },
    ]);
    const modeOf = async (plainRoot: boolean): Promise<number> => {
      const dest = scratch.path(`out-${plainRoot}`);
      mkdirSync(dest, { mode: 0o711 });
      const how = { dest, opaqueXattr, ignoreOwners, plainRoot } as const;
      await unpackLayer({ stream: streamOf(tar) }, { signal, size: tar.length, ...how });
      return lstatSync(dest).mode & 0o7777;
    };
    expect(await modeOf(true)).toBe(0o755);
    expect(await modeOf(false)).toBe(0o700);
  });

  it.each([true, false])('writes files, modes, links and times when a worker is used: %s', async (worker) => {
    using scratch = createScratch();
    const mtime = new Date(1_500_000_000_000);
    const tar = await foreignTar([
      { name: 'd/', type: 'directory', mode: 0o2750, mtime },
      { name: 'd/f', mode: 0o4711, mtime, data: Buffer.alloc(3_000_000, 'q') },
      { name: 'd/l', type: 'symlink', linkname: 'f', mtime },
      { name: 'd/h', type: 'link', linkname: 'd/f' },
      { name: 'implied/x', data: '1', mtime },
    ]);
    const dest = scratch.path('out');
    mkdirSync(dest);
    const blob = gzipSync(tar);
    if (!worker) expect(blob.length).toBeLessThan(512 << 10);
    using growing = growingFile(scratch.path('blob'), blob, { pieceSize: 3000 });
    const { tree } = await unpackLayer(
      { growing },
      {
        signal,
        dest,
        opaqueXattr,
        ignoreOwners,
        digest: sha256(blob),
        ...(worker ? {} : { size: blob.length }),
      },
    );
    expect(tree.map((entry) => entry.path)).toEqual(['d', 'd/f', 'd/h', 'd/l', 'implied/x']);
    expect((lstatSync(`${dest}/d`).mode & 0o7777).toString(8)).toBe('2750');
    expect((lstatSync(`${dest}/d/f`).mode & 0o7777).toString(8)).toBe('4711');
    for (const name of ['d', 'd/f', 'd/l'])
      expect(lstatSync(`${dest}/${name}`).mtimeMs).toBe(1_500_000_000_000);
    expect(lstatSync(`${dest}/d/h`).ino).toBe(lstatSync(`${dest}/d/f`).ino);
    expect(readlinkSync(`${dest}/d/l`)).toBe('f');
    expect(readFileSync(`${dest}/implied/x`, 'utf8')).toBe('1');
  });
});

describe('applyLayer()', () => {
  it('deletes, replaces and keeps what the layer says when the root holds files', async () => {
    using scratch = createScratch();
    const dest = scratch.path('root');
    mkdirSync(`${dest}/keep/sub`, { recursive: true });
    mkdirSync(`${dest}/opaque/sub`, { recursive: true });
    mkdirSync(`${dest}/gone/deep`, { recursive: true });
    mkdirSync(`${dest}/to-file/x`, { recursive: true });
    writeFileSync(`${dest}/keep/old`, 'old');
    writeFileSync(`${dest}/opaque/old`, 'old');
    const tar = await foreignTar([
      { name: 'opaque/new', data: 'new' },
      { name: 'opaque/.wh..wh..opq' },
      { name: 'keep/', type: 'directory', mode: 0o700 },
      { name: 'gone/fresh', data: 'f' },
      { name: '.wh.gone' },
      { name: 'to-file', data: 'now a file' },
    ]);
    await applyLayer({ stream: streamOf(tar) }, { signal, dest, ignoreOwners, size: tar.length });
    const exists = (name: string) => lstatSync(`${dest}/${name}`, { throwIfNoEntry: false }) !== undefined;
    expect(['keep/old', 'keep/sub', 'opaque/new', 'gone/fresh'].filter(exists)).toHaveLength(4);
    expect(['opaque/old', 'opaque/sub', 'gone/deep'].filter(exists)).toEqual([]);
    expect(readFileSync(`${dest}/to-file`, 'utf8')).toBe('now a file');
    expect((lstatSync(`${dest}/keep`).mode & 0o777).toString(8)).toBe('700');
  });

  it.each(['/', '/outside', '../../outside'])(
    'stays in the root when a lower symlink leads to %s',
    async (to) => {
      using scratch = createScratch();
      const dest = scratch.path('root');
      mkdirSync(dest);
      mkdirSync(scratch.path('outside'));
      writeFileSync(scratch.path('outside/victim'), 'safe');
      const target = to === '/outside' ? scratch.path('outside') : to;
      symlinkSync(target, `${dest}/evil`);
      const tar = await foreignTar([
        { name: 'evil/victim', data: 'broken' },
        { name: 'evil/.wh.victim2' },
        { name: 'h', type: 'link', linkname: 'evil/victim' },
      ]);
      await applyLayer({ stream: streamOf(tar) }, { signal, dest, ignoreOwners, size: tar.length });
      expect(readFileSync(scratch.path('outside/victim'), 'utf8')).toBe('safe');
      expect(readFileSync(`${dest}/h`, 'utf8')).toBe('broken');
    },
  );

  it('removes a symlink, not its target, when a whiteout names it', async () => {
    using scratch = createScratch();
    const dest = scratch.path('root');
    mkdirSync(`${dest}/real`, { recursive: true });
    writeFileSync(`${dest}/real/x`, '1');
    symlinkSync('real', `${dest}/link`);
    const tar = await foreignTar([{ name: '.wh.link' }]);
    await applyLayer({ stream: streamOf(tar) }, { signal, dest, ignoreOwners, size: tar.length });
    expect(lstatSync(`${dest}/link`, { throwIfNoEntry: false })).toBeUndefined();
    expect(readFileSync(`${dest}/real/x`, 'utf8')).toBe('1');
  });
});
