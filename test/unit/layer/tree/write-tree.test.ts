import { lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type WriteTreeOptions, writeTree } from '../../../../src/layer/tree/write-tree.ts';
import type { Tree } from '../../../../src/layer/types.ts';
import { createScratch, entryOf, type Scratch } from '../../../support/layers.ts';

const signal = new AbortController().signal;
/** Owners that every user can give. */
const ME = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

async function write(scratch: Scratch, tree: Tree, options: Partial<WriteTreeOptions> = {}): Promise<string> {
  const dir = scratch.path('target');
  mkdirSync(dir);
  const how = { content: scratch.content, opaqueXattr: 'user.overlay.opaque', signal, ...options };
  await writeTree(dir, tree, how);
  return dir;
}

describe('writeTree()', () => {
  it('writes files, directories and links with modes and whole-second times', async () => {
    using scratch = createScratch();
    const dir = await write(scratch, [
      entryOf('d', 'dir', { mode: 0o2750, mtimeSec: 100, ...ME }),
      scratch.file('d/f', 'hello', { mode: 0o4711, mtimeSec: 200, ...ME }),
      entryOf('d/h', 'hardlink', { link: 'd/f', mode: 0o4711, mtimeSec: 200, ...ME }),
      entryOf('d/l', 'symlink', { link: '../nowhere', mode: 0o777, mtimeSec: 300, ...ME }),
      entryOf('d/p', 'fifo', { mode: 0o600, mtimeSec: 400, ...ME }),
    ]);
    const facts = (path: string) => {
      const { mode, mtimeMs } = lstatSync(join(dir, path));
      return [mode & 0o7777, mtimeMs];
    };
    expect(readFileSync(join(dir, 'd/f'), 'utf8')).toBe('hello');
    expect(facts('d/f')).toEqual([0o4711, 200_000]);
    expect(facts('d')).toEqual([0o2750, 100_000]);
    expect(facts('d/l')).toEqual([0o777, 300_000]);
    expect(facts('d/p')).toEqual([0o600, 400_000]);
    expect(lstatSync(join(dir, 'd/p')).isFIFO()).toBe(true);
    expect(readlinkSync(join(dir, 'd/l'))).toBe('../nowhere');
    expect(lstatSync(join(dir, 'd/h')).ino).toBe(lstatSync(join(dir, 'd/f')).ino);
  });

  it('gives the root directory the attributes that the tree says', async () => {
    using scratch = createScratch();
    const dir = await write(scratch, [entryOf('', 'dir', { mode: 0o700, mtimeSec: 7, ...ME })]);
    expect(lstatSync(dir).mode & 0o7777).toBe(0o700);
    expect(lstatSync(dir).mtimeMs).toBe(7000);
  });

  it('writes names whose bytes are not UTF-8', async () => {
    using scratch = createScratch();
    const dir = await write(scratch, [scratch.file('\udcff', 'x', ME)]);
    expect(readFileSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff])]), 'utf8')).toBe('x');
  });

  it('copies bytes that the source can no longer change', async () => {
    using scratch = createScratch();
    const file = scratch.file('f', 'before', ME);
    const dir = await write(scratch, [file]);
    writeFileSync(scratch.content(file).path, 'after!');
    expect(readFileSync(join(dir, 'f'), 'utf8')).toBe('before');
    expect(lstatSync(join(dir, 'f')).nlink).toBe(1);
  });

  it('leaves devices and their other names out when it is told to', async () => {
    using scratch = createScratch();
    const tree = [
      entryOf('b', 'block', { devMajor: 8, devMinor: 1 }),
      entryOf('c', 'char', { devMajor: 1, devMinor: 3 }),
      entryOf('d', 'hardlink', { link: 'c' }),
      scratch.file('f', 'x', ME),
    ];
    const dir = await write(scratch, tree, { ignoreDevices: true });
    const stands = (name: string) => lstatSync(join(dir, name), { throwIfNoEntry: false }) !== undefined;
    expect(['b', 'c', 'd', 'f'].filter(stands)).toEqual(['f']);
  });

  it.each<[string, (path: string) => void]>([
    ['grew', (path) => writeFileSync(path, 'longer than before')],
    ['was touched', (path) => utimesSync(path, 1, 1)],
    ['is gone', (path) => rmSync(path)],
    [
      'is a directory now',
      (path) => {
        rmSync(path);
        mkdirSync(path);
      },
    ],
  ])('throws CONTEXT_CHANGED when a file %s', async (_, change) => {
    using scratch = createScratch();
    const file = scratch.file('a/f', 'content', ME);
    const path = String(scratch.content(file).path);
    utimesSync(path, 50, 50);
    change(path);
    const content = () => ({ path, mtimeMs: 50_000 });
    const tree = [entryOf('a', 'dir', ME), file];
    await expect(write(scratch, tree, { content })).rejects.toMatchObject({
      code: 'CONTEXT_CHANGED',
      details: { path: 'a/f' },
    });
  });

  it('throws CONTEXT_CHANGED when a file of unknown time has another size', async () => {
    using scratch = createScratch();
    const file = scratch.file('f', 'content', ME);
    writeFileSync(scratch.content(file).path, 'longer than before');
    await expect(write(scratch, [file])).rejects.toMatchObject({ code: 'CONTEXT_CHANGED' });
  });

  it('throws where something stands already', async () => {
    using scratch = createScratch();
    const tree = [scratch.file('f', 'x', ME), entryOf('f', 'dir', ME)];
    await expect(write(scratch, tree)).rejects.toMatchObject({ code: 'SYSCALL_FAILED' });
  });

  it('keeps bits that the umask would take', async () => {
    using scratch = createScratch();
    const before = process.umask(0o077);
    try {
      const dir = await write(scratch, [scratch.file('f', 'x', { mode: 0o666, ...ME })]);
      expect(lstatSync(join(dir, 'f')).mode & 0o7777).toBe(0o666);
    } finally {
      process.umask(before);
    }
  });
});
