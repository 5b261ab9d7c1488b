import { describe, expect, test } from 'vitest';
import { packFiles } from '../../conformance/context.ts';
import type { ContextFile } from '../../conformance/types.ts';
import { flattenTars } from '../../support/flatten.ts';

async function flatten(...layers: ContextFile[][]): Promise<Record<string, string>> {
  const { files } = await flattenTars(await Promise.all(layers.map((layer) => packFiles(layer))));
  return Object.fromEntries(
    [...files].map(([path, e]) => [
      path,
      `${e.type} ${e.mode} ${e.hardlinkOf ?? e.link ?? e.text ?? ''}`.trim(),
    ]),
  );
}

describe('flattenTars()', () => {
  test('removes a lower tree when a whiteout names it', async () => {
    const lower = [
      { path: 'd/a', content: '1' },
      { path: 'd.txt', content: '2' },
    ];
    expect(await flatten(lower, [{ path: '.wh.d' }])).toEqual({ '/d.txt': 'file 644 2' });
  });

  test('keeps entries of its own layer when the opaque marker comes after them', async () => {
    const upper = [{ path: 'd', dir: true }, { path: 'd/new', content: 'n' }, { path: 'd/.wh..wh..opq' }];
    expect(await flatten([{ path: 'd/old', content: 'o' }], upper)).toEqual({
      '/d': 'dir 755',
      '/d/new': 'file 644 n',
    });
  });

  test('keeps the children when a directory entry changes only metadata', async () => {
    const upper = [{ path: 'd', dir: true, mode: '1777' }];
    expect(await flatten([{ path: 'd/a', content: '1' }], upper)).toEqual({
      '/d': 'dir 1777',
      '/d/a': 'file 644 1',
    });
  });

  test('drops the children when a file replaces a directory', async () => {
    expect(await flatten([{ path: 'd/a', content: '1' }], [{ path: 'd', content: 'f' }])).toEqual({
      '/d': 'file 644 f',
    });
  });

  test('names the first path in byte order when files are one inode', async () => {
    const layer = [
      { path: 'z', content: 'same' },
      { path: 'a', hardlink: 'z' },
    ];
    expect(await flatten(layer)).toEqual({ '/a': 'file 644 same', '/z': 'file 644 /a' });
  });

  test('parts hard links when a later layer replaces one of them', async () => {
    const lower = [
      { path: 'a', content: 'same' },
      { path: 'b', hardlink: 'a' },
    ];
    expect(await flatten(lower, [{ path: 'a', content: 'new' }])).toEqual({
      '/a': 'file 644 new',
      '/b': 'file 644 same',
    });
  });

  test('reports extended attributes in hex when the archive has them', async () => {
    const tar = await packFiles([{ path: 'f', content: '', xattrs: { 'user.b': '0001', 'user.a': '61' } }]);
    const { files } = await flattenTars([tar]);
    expect(files.get('/f')?.xattrs).toEqual({ 'user.a': '61', 'user.b': '0001' });
  });

  test('rejects when an entry stands below something that is no directory', async () => {
    await expect(
      flatten([
        { path: 'l', symlink: 'x' },
        { path: 'l/f', content: '' },
      ]),
    ).rejects.toThrow(/symlink/);
  });

  test('rejects when an entry leaves the root', async () => {
    await expect(flatten([{ path: '../f', content: '' }])).rejects.toThrow(/leaves the root/);
  });
});
