import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { exportLocal } from '../../../src/exporter/local.ts';
import { exportTar } from '../../../src/exporter/tar.ts';
import type { ExportTree } from '../../../src/exporter/types.ts';
import { noSignal, tempDir, treeOf } from './fixture.ts';

const options = { signal: noSignal, names: [] };

function sample(store: string): ExportTree {
  return treeOf(
    store,
    [
      { path: '', type: 'dir' },
      { path: 'bin', type: 'dir', mode: 0o555, mtimeSec: 1_500_000_000 },
      { path: 'bin/app', type: 'file', mode: 0o4755, mtimeSec: 1_400_000_000 },
      { path: 'bin/copy', type: 'hardlink', link: 'bin/app' },
      { path: 'empty', type: 'file', mode: 0o600 },
      { path: 'link', type: 'symlink', link: '/etc/passwd', mode: 0o777 },
      { path: 'pipe', type: 'fifo' },
      { path: 'umlaut-\udcfc', type: 'file' },
    ],
    { 'bin/app': 'app', empty: '', 'umlaut-\udcfc': 'u' },
  );
}

describe('exportLocal()', () => {
  it('exportLocal() writes files, links, modes and times when the directory is new', async () => {
    const dir = tempDir();
    const out = join(dir, 'a/out');
    await exportLocal(sample(dir), out, options);
    const app = statSync(join(out, 'bin/app'));
    expect([app.mode & 0o7777, app.mtimeMs, app.nlink]).toEqual([0o4755, 1_400_000_000_000, 2]);
    expect(statSync(join(out, 'bin')).mode & 0o7777).toBe(0o555);
    expect(statSync(join(out, 'bin')).mtimeMs).toBe(1_500_000_000_000);
    expect(statSync(join(out, 'bin/copy')).ino).toBe(app.ino);
    expect(readlinkSync(join(out, 'link'))).toBe('/etc/passwd');
    expect(lstatSync(join(out, 'pipe')).isFIFO()).toBe(true);
    const odd = Buffer.concat([Buffer.from(`${out}/umlaut-`), Buffer.of(0xfc)]);
    expect(readFileSync(odd, 'utf8')).toBe('u');
  });

  it('exportLocal() removes what the tree does not hold when asked to, and nothing outside', async () => {
    const dir = tempDir();
    const [out, elsewhere] = [join(dir, 'out'), join(dir, 'elsewhere')];
    for (const path of ['old/deep', 'empty/was-a-directory', 'bin/old'])
      mkdirSync(join(out, path), { recursive: true });
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'mine'), 'mine');
    writeFileSync(join(out, 'old/deep/f'), 'old');
    for (const name of ['to-dir', 'bin/to-dir']) symlinkSync(elsewhere, join(out, name));
    symlinkSync(out, join(dir, 'way'));
    await exportLocal(sample(dir), join(dir, 'way'), { ...options, removeOthers: true });
    expect(readdirSync(out, { encoding: 'latin1' }).sort()).toEqual([
      'bin',
      'empty',
      'link',
      'pipe',
      'umlaut-\xfc',
    ]);
    expect(readdirSync(join(out, 'bin'))).toEqual(['app', 'copy']);
    expect(readFileSync(join(out, 'empty'), 'utf8')).toBe('');
    expect(statSync(join(out, 'bin')).mtimeMs).toBe(1_500_000_000_000);
    expect(readFileSync(join(elsewhere, 'mine'), 'utf8')).toBe('mine');
  });

  it('exportLocal() replaces files and keeps others when run again', async () => {
    const dir = tempDir();
    const out = join(dir, 'out');
    mkdirSync(out);
    writeFileSync(join(out, 'mine'), 'mine');
    writeFileSync(join(out, 'empty'), 'old');
    await exportLocal(sample(dir), out, options);
    await exportLocal(sample(dir), out, options);
    expect(readFileSync(join(out, 'mine'), 'utf8')).toBe('mine');
    expect(readFileSync(join(out, 'empty'), 'utf8')).toBe('');
  });

  it('exportLocal() never writes through symlinks when they stand in the way', async () => {
    const dir = tempDir();
    const [out, outside] = [join(dir, 'out'), join(dir, 'outside')];
    mkdirSync(out);
    mkdirSync(outside);
    writeFileSync(join(outside, 'empty'), 'precious');
    symlinkSync(outside, join(out, 'bin'));
    symlinkSync(join(outside, 'empty'), join(out, 'empty'));
    await exportLocal(sample(dir), out, options);
    expect(readFileSync(join(outside, 'empty'), 'utf8')).toBe('precious');
    expect(existsSync(join(outside, 'app'))).toBe(false);
    expect(lstatSync(join(out, 'bin')).isDirectory()).toBe(true);
  });

  it('exportLocal() refuses a tree when it leads through its own symlink', async () => {
    const dir = tempDir();
    mkdirSync(join(dir, 'outside'));
    const tree = treeOf(
      dir,
      [
        { path: 'a', type: 'symlink', link: join(dir, 'outside') },
        { path: 'a/evil', type: 'file' },
      ],
      { 'a/evil': 'x' },
    );
    await expect(exportLocal(tree, join(dir, 'out'), options)).rejects.toMatchObject({
      code: 'EXPORT_TARGET_INVALID',
    });
    expect(existsSync(join(dir, 'outside/evil'))).toBe(false);
  });

  it('exportLocal() keeps a filled directory when the image has a file of that name', async () => {
    const dir = tempDir();
    mkdirSync(join(dir, 'out/empty/inner'), { recursive: true });
    await expect(exportLocal(sample(dir), join(dir, 'out'), options)).rejects.toMatchObject({
      code: 'EXPORT_TARGET_INVALID',
    });
    expect(existsSync(join(dir, 'out/empty/inner'))).toBe(true);
  });

  it('exportLocal() takes a directory away again that it made, when it fails', async () => {
    const dir = tempDir();
    const broken = treeOf(dir, [
      { path: 'a', type: 'fifo' },
      { path: 'b', type: 'hardlink', link: 'none' },
    ]);
    const failing = exportLocal(broken, join(dir, 'new/out'), options);
    await expect(failing).rejects.toMatchObject({ code: 'EXPORT_TARGET_INVALID' });
    expect(existsSync(join(dir, 'new'))).toBe(false);
    mkdirSync(join(dir, 'old'));
    await expect(exportLocal(broken, join(dir, 'old'), options)).rejects.toThrow();
    expect(existsSync(join(dir, 'old/a'))).toBe(true);
  });

  it('exportLocal() refuses when the target is a file or a content has another size', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'file'), '');
    const invalid = { code: 'EXPORT_TARGET_INVALID' };
    await expect(exportLocal(sample(dir), join(dir, 'file'), options)).rejects.toMatchObject(invalid);
    const tree = sample(dir);
    writeFileSync(tree.content('bin/app'), 'another');
    await expect(exportLocal(tree, join(dir, 'o'), options)).rejects.toMatchObject({ code: 'EXPORT_FAILED' });
  });
});

describe('exportTar()', () => {
  it('exportTar() holds every entry but the root when written to a file', async () => {
    const dir = tempDir();
    const dest = join(dir, 'out.tar');
    await exportTar(sample(dir), { dest }, { ...options, epochSec: 1_450_000_000 });
    const reader = extract();
    reader.end(readFileSync(dest));
    const seen: unknown[] = [];
    for await (const entry of reader) {
      const { name, type, mode, linkname, mtime } = entry.header;
      seen.push([name, type, mode, linkname, Number(mtime) / 1000, (await buffer(entry)).toString()]);
    }
    expect(seen.slice(0, 5)).toEqual([
      ['bin/', 'directory', 0o555, null, 1_450_000_000, ''],
      ['bin/app', 'file', 0o4755, null, 1_450_000_000, 'app'],
      ['bin/copy', 'link', 0o644, 'bin/app', 1_450_000_000, ''],
      ['empty', 'file', 0o600, null, 1_450_000_000, ''],
      ['link', 'symlink', 0o777, '/etc/passwd', 1_450_000_000, ''],
    ]);
    expect(seen).toHaveLength(7);
  });

  it('exportTar() keeps long contents whole when they exceed its buffer', async () => {
    const dir = tempDir();
    const text = 'abcdefg'.repeat(500_000);
    const tree = treeOf(
      dir,
      [
        { path: 'big', type: 'file' },
        { path: 'next', type: 'file' },
      ],
      { big: text, next: 'n' },
    );
    await exportTar(tree, { dest: join(dir, 'o.tar') }, options);
    const bytes = readFileSync(join(dir, 'o.tar'));
    expect(bytes.subarray(512, 512 + text.length).toString()).toBe(text);
    expect(bytes.length % 512).toBe(0);
  });

  it('exportTar() leaves nothing when a content changed', async () => {
    const dir = tempDir();
    const tree = sample(dir);
    writeFileSync(tree.content('bin/app'), 'longer than before');
    await expect(exportTar(tree, { dest: join(dir, 'o.tar') }, options)).rejects.toMatchObject({
      category: 'build',
    });
    expect(existsSync(join(dir, 'o.tar'))).toBe(false);
  });
});
