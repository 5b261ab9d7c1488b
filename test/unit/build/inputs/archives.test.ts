import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createArchiveReader } from '../../../../src/build/inputs/archives.ts';
import { openStore } from '../../../../src/cache/store-root.ts';
import { foreignTar, type Member } from '../../../support/layers.ts';
import { tempDir } from '../fixture.ts';

const signal = new AbortController().signal;

async function open(bytes: Buffer) {
  const root = await openStore(join(tempDir(), 'store'));
  const file = join(tempDir(), 'archive');
  writeFileSync(file, bytes);
  const reader = createArchiveReader(root);
  return { root, reader, source: await reader.open(file, signal) };
}

/** `tar c f | bzip2`, `tar c f | xz`, and the same of the text alone, in base64. */
const BZIP2_TAR =
  'QlpoOTFBWSZTWf/hyE8AAHD7hMmQAERAAGWAAADjRJ4AAACACCAAVDSJkYTT0AJ6CSp5IaZMgDQW+4m7oQRvASM6RKzywK3JIGDth7M0Elv0QX49RqZVqwebJrY+Bjb9IwIjSIgOC7kinChIf/DkJ4A=';
const XZ_TAR =
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AF9dADMAM1AYaImDAdzibkdnUCbaMYkclpBPWVwqyA2vshrqXeB6UvwBMMS0jKw38DCuZ2pyQLNzFhWm8nrXV9DBMgwgyE5GEaiDNOc/PAnqwN+mqyk+vUv+yUSzcy+yyTQAAABZWkLOMxCOSQABe4BQAAAA75Zb2LHEZ/sCAAAAAARZWg==';
const BZIP2_TEXT = 'QlpoOTFBWSZTWcHAgOIAAAFBAAAQAkSgADDNAMNGKZcXckU4UJDBwIDi';
const XZ_TEXT = '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAFaGVsbG8KAAAApWCX8ZT2/eAAAR4GwS+kHR+2830BAAAAAARZWg==';

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

  it('reads what bzip2 and xz packed', async () => {
    for (const packed of [BZIP2_TAR, XZ_TAR]) {
      const { source } = await open(Buffer.from(packed, 'base64'));
      const entry = source?.view.get('f');
      if (source === undefined || entry === undefined) throw new RangeError('f');
      expect(readFileSync(source.content(entry).path, 'utf8')).toBe('hello\n');
    }
  });

  it('leaves bzip2 and xz without a tar in it alone', async () => {
    for (const packed of [BZIP2_TEXT, XZ_TEXT]) {
      const { source } = await open(Buffer.from(packed, 'base64'));
      expect(source).toBeUndefined();
    }
  });

  it('tells apart the hard links that lead out of the archive', async () => {
    const { source } = await open(
      await foreignTar([
        { name: 'a' },
        { name: 'b', type: 'link', linkname: 'a' },
        { name: 'c', type: 'link', linkname: 'z/y' },
      ]),
    );
    expect([...(source?.foreignLinks ?? [])]).toEqual([['c', 'z/y']]);
  });

  it('refuses members behind a symlink that leads out of the root', async () => {
    const members: Member[] = [
      { name: 'out', type: 'symlink', linkname: '../../etc' },
      { name: 'out/f', data: 'x' },
    ];
    await expect(open(await foreignTar(members))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
  });

  it('close() takes what was unpacked away', async () => {
    const { root, reader } = await open(await foreignTar(MEMBERS));
    expect(readdirSync(root.tmpDir)).toHaveLength(1);
    reader.close();
    expect(readdirSync(root.tmpDir)).toEqual([]);
  });
});
