import { describe, expect, it } from 'vitest';
import { joinTrees, type PlatformTree, splitTrees } from '../../../src/exporter/split-trees.ts';
import { tempDir, treeOf } from './fixture.ts';

const part = (architecture: string, ...files: Parameters<typeof treeOf>): PlatformTree => ({
  platform: { os: 'linux', architecture },
  files: treeOf(...files),
});

describe('splitTrees()', () => {
  it('puts each platform below its directory, hard links included', () => {
    const [a, b] = [tempDir(), tempDir()];
    const split = splitTrees(
      [
        part(
          'arm64',
          a,
          [
            { path: '', type: 'dir' },
            { path: 'f', type: 'file' },
          ],
          { f: 'arm' },
        ),
        part(
          'amd64',
          b,
          [
            { path: 'f', type: 'file' },
            { path: 'g', type: 'hardlink', link: 'f' },
            { path: 'h', type: 'symlink', link: 'f' },
          ],
          { f: 'amd' },
        ),
      ],
      7,
    );
    expect(split.tree.map(({ path, type, link }) => [path, type, link])).toEqual([
      ['linux_amd64', 'dir', undefined],
      ['linux_amd64/f', 'file', undefined],
      ['linux_amd64/g', 'hardlink', 'linux_amd64/f'],
      ['linux_amd64/h', 'symlink', 'f'],
      ['linux_arm64', 'dir', undefined],
      ['linux_arm64/f', 'file', undefined],
    ]);
    expect(split.tree[0]?.mtimeSec).toBe(7);
    expect(split.content('linux_arm64/f')).toContain(a);
    expect(split.content('linux_amd64/f')).toContain(b);
  });
});

describe('joinTrees()', () => {
  it('joins directories and keeps the canonical order', () => {
    const [a, b] = [tempDir(), tempDir()];
    const joined = joinTrees([
      part(
        'amd64',
        a,
        [
          { path: 'bin', type: 'dir' },
          { path: 'bin/z', type: 'file' },
        ],
        { 'bin/z': '1' },
      ),
      part(
        'arm64',
        b,
        [
          { path: 'bin', type: 'dir' },
          { path: 'bin/a', type: 'file' },
        ],
        { 'bin/a': '2' },
      ),
    ]);
    expect(joined.tree.map(({ path }) => path)).toEqual(['bin', 'bin/a', 'bin/z']);
    expect(joined.content('bin/a')).toContain(b);
    expect(joined.content('bin/z')).toContain(a);
  });

  it('refuses a file that two platforms have', () => {
    const files: Parameters<typeof treeOf> = [tempDir(), [{ path: 'f', type: 'file' }], { f: 'x' }];
    expect(() => joinTrees([part('amd64', ...files), part('arm64', ...files)])).toThrow(
      expect.objectContaining({
        code: 'EXPORT_TARGET_INVALID',
        message: 'Cannot export "/f" of linux/amd64 and linux/arm64 to one directory: both have it',
      }),
    );
  });
});
