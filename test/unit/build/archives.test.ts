import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createArchiveReader } from '../../../src/build/archives.ts';
import { foreignTar, type Member } from '../../support/layers.ts';
import { tempStore } from '../cache/temp-store.ts';
import { tempDir } from './fixture.ts';

const signal = new AbortController().signal;

async function open(bytes: Buffer) {
  const { root } = await tempStore();
  const file = join(tempDir(), 'archive');
  writeFileSync(file, bytes);
  const reader = createArchiveReader(root);
  return { root, reader, source: await reader.open(file, signal) };
}

const MEMBERS: Member[] = [
  { name: 'd/', type: 'directory', mode: 0o700 },
  { name: 'd/f', data: 'hello', mode: 0o640, uid: 1234, gid: 5678 },
  { name: 'd/h', type: 'link', linkname: 'd/f' },
  { name: 'l', type: 'symlink', linkname: 'd/f' },
  { name: 'implied/x', data: 'x' },
];

describe('createArchiveReader()', () => {
  it.each<[string, (tar: Buffer) => Buffer]>([
    ['plain', (tar) => tar],
    ['gzip', (tar) => gzipSync(tar)],
    ['zstd', (tar) => zstdCompressSync(tar)],
  ])('reads entries and bytes of a %s tar', async (_, compress) => {
    const { source } = await open(compress(await foreignTar(MEMBERS)));
    const file = source?.view.get('d/f');
    expect(file).toMatchObject({ type: 'file', mode: 0o640, uid: 1234, gid: 5678, size: 5 });
    expect(source?.view.get('l')).toMatchObject({ type: 'symlink', link: 'd/f' });
    expect(source?.view.children('')).toEqual(['d', 'implied', 'l']);
    for (const path of ['d/f', 'd/h']) {
      const entry = source?.view.get(path);
      if (source === undefined || entry === undefined) throw new RangeError(path);
      expect(readFileSync(source.content(entry).path, 'utf8')).toBe('hello');
    }
  });

  it.each<[string, Buffer]>([
    ['text', Buffer.from('hello')],
    ['nothing', Buffer.alloc(0)],
    ['gzip without a tar in it', gzipSync('hello')],
    ['zstd without a tar in it', zstdCompressSync(Buffer.from('hello'))],
    ['the start of gzip alone', Buffer.from([0x1f, 0x8b, 8, 0])],
  ])('leaves %s alone', async (_, bytes) => {
    const { source, root } = await open(bytes);
    expect(source).toBeUndefined();
    expect(readdirSync(root.tmpDir)).toEqual([]);
  });

  it('refuses a tar that ends too early', async () => {
    const tar = await foreignTar([{ name: 'f', data: Buffer.alloc(5000) }]);
    await expect(open(tar.subarray(0, 2048))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(/^Cannot unpack ".*\/archive": /),
    });
  });

  it('refuses names that mean a deletion in a layer', async () => {
    await expect(open(await foreignTar([{ name: '.wh.gone' }]))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
    });
  });

  it.each([
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
    ['bzip2', [0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59]],
  ])('says that it does not unpack %s', async (kind, magic) => {
    await expect(open(Buffer.from(magic))).rejects.toMatchObject({
      code: 'DOCKERFILE_UNSUPPORTED',
      message: expect.stringContaining(kind),
    });
  });

  it('close() takes what was unpacked away', async () => {
    const { root, reader } = await open(await foreignTar(MEMBERS));
    expect(readdirSync(root.tmpDir)).toHaveLength(1);
    reader.close();
    expect(readdirSync(root.tmpDir)).toEqual([]);
  });
});
