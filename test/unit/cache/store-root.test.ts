import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openStore } from '../../../src/cache/store-root.ts';
import { currentOwner, isAlive, ownedName, ownerOf } from '../../../src/util/owner.ts';
import { tempDir } from './temp-store.ts';

const mode = (path: string): number => statSync(path).mode & 0o777;
/** A number that was a process a moment ago. */
function deadName(): string {
  const { pid } = spawnSync('true');
  return `${pid}-12345-left`;
}

describe('openStore', () => {
  it('openStore() makes an OCI layout with private folders when the directory is new', async () => {
    const dir = join(tempDir(), 'a/b');
    const before = process.umask(0o077);
    const root = await openStore(dir).finally(() => process.umask(before));
    expect(JSON.parse(readFileSync(join(dir, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
    expect(JSON.parse(readFileSync(root.indexFile, 'utf8'))).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    });
    expect(mode(root.blobsDir)).toBe(0o755);
    for (const path of [
      root.snapshotsDir,
      root.treesDir,
      root.mountsDir,
      root.runDir,
      root.tmpDir,
      root.trashDir,
    ]) {
      expect(mode(path), path).toBe(0o700);
    }
    expect(readdirSync(root.tmpDir)).toEqual([]);
  });

  it('openStore() keeps everything when the store exists', async () => {
    const dir = tempDir();
    const root = await openStore(dir);
    writeFileSync(root.indexFile, '{"schemaVersion":2,"manifests":[],"x":1}');
    await openStore(dir);
    expect(readFileSync(root.indexFile, 'utf8')).toContain('"x":1');
  });

  it('openStore() refuses a directory that holds something else', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'thesis.doc'), '');
    await expect(openStore(dir)).rejects.toMatchObject({
      code: 'STORE_INVALID',
      message: expect.stringContaining('"thesis.doc"'),
    });
    expect(readdirSync(dir)).toEqual(['thesis.doc']);
  });

  it.each(['2.0.0', ''])('openStore() refuses a layout of version "%s"', async (version) => {
    const dir = tempDir();
    writeFileSync(
      join(dir, 'oci-layout'),
      version === '' ? '{}' : JSON.stringify({ imageLayoutVersion: version }),
    );
    await expect(openStore(dir)).rejects.toMatchObject({ code: 'STORE_INVALID' });
  });

  it('openStore() refuses a file in the place of the store or of a folder', async () => {
    const file = join(tempDir(), 'file');
    writeFileSync(file, '');
    await expect(openStore(file)).rejects.toMatchObject({ code: 'STORE_INVALID' });
    await expect(openStore(join(file, 'below'))).rejects.toMatchObject({ code: 'STORE_INVALID' });
    const dir = tempDir();
    writeFileSync(join(dir, 'tmp'), '');
    await expect(openStore(dir)).rejects.toMatchObject({ code: 'STORE_INVALID' });
  });

  it('openStore() says STORE_NOT_WRITABLE when the file system is read-only', async () => {
    await expect(openStore('/proc/ocibuild-store')).rejects.toMatchObject({ code: 'STORE_NOT_WRITABLE' });
    await expect(openStore('/sys/ocibuild-store')).rejects.toMatchObject({ code: 'STORE_NOT_WRITABLE' });
  });

  it('openStore() stops when its signal is aborted', async () => {
    await expect(openStore(tempDir(), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });

  it('openStore() sweeps what dead processes left and nothing else', async () => {
    const dir = tempDir();
    const first = await openStore(dir);
    const dead = deadName();
    const alive = ownedName(currentOwner());
    for (const folder of ['tmp', 'trash', 'run']) {
      for (const name of [dead, alive]) {
        mkdirSync(join(dir, folder, name, 'sub'), { recursive: true });
        writeFileSync(join(dir, folder, name, 'sub/file'), '');
      }
    }
    writeFileSync(join(dir, 'tmp', `${dead}file`), 'x');
    writeFileSync(join(dir, 'tmp/no-owner'), 'x');
    const root = await openStore(dir);
    expect(readdirSync(root.tmpDir).sort()).toEqual([alive, 'no-owner'].sort());
    expect(root.leftBundles).toEqual([{ id: dead, dir: join(dir, 'run', dead) }]);
    expect(first.leftBundles).toEqual([]);
    for (const bundle of root.leftBundles) root.discard(bundle.dir);
    expect(readdirSync(root.runDir)).toEqual([alive]);
    await root.emptyTrash({ wait: true });
    // The other one belongs to this process, but not to this store handle.
    expect(readdirSync(root.trashDir)).toEqual([alive]);
  });

  it('discard() takes a tree away at once and emptyTrash() deletes it', async () => {
    const root = await openStore(tempDir());
    const path = root.tempPath();
    mkdirSync(join(path, 'locked'), { recursive: true });
    writeFileSync(join(path, 'locked/file'), '');
    chmodSync(join(path, 'locked'), 0o500);
    symlinkSync('/etc', join(path, 'etc'));
    root.discard(path);
    root.discard(path);
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(root.trashDir)).toHaveLength(1);
    await root.emptyTrash({ wait: true });
    expect(readdirSync(root.trashDir)).toEqual([]);
    expect(existsSync('/etc/passwd')).toBe(true);
  });

  it('emptyTrash() leaves big trees to a child when it does not wait', async () => {
    const root = await openStore(tempDir());
    const path = root.tempPath();
    mkdirSync(join(path, 'sub'), { recursive: true });
    root.discard(path);
    await root.emptyTrash();
    await expect.poll(() => readdirSync(root.trashDir)).toEqual([]);
  });

  it('tempPath() and bundle() give names of this process that are never the same', async () => {
    const root = await openStore(tempDir());
    const names = Array.from({ length: 500 }, () => root.tempPath());
    expect(new Set(names).size).toBe(500);
    const { id, dir } = root.bundle();
    expect(dir).toBe(join(root.runDir, id));
    expect(ownerOf(id)).toEqual(currentOwner());
  });
});

describe('owner', () => {
  it('isAlive() tells a process from a later one of the same number', () => {
    const me = currentOwner();
    expect(isAlive(me)).toBe(true);
    expect(isAlive({ ...me, startTime: `${Number(me.startTime) + 1}` })).toBe(false);
    expect(isAlive({ pid: Number(deadName().split('-')[0]), startTime: me.startTime })).toBe(false);
    expect(isAlive({ pid: 1, startTime: '0' })).toBe(false);
  });

  it.each(['', 'x-1-a', '1-a', '12-', '-1-2-a', '99999999999-1-a'])('ownerOf() refuses "%s"', (name) => {
    expect(ownerOf(name)).toBeUndefined();
  });
});
