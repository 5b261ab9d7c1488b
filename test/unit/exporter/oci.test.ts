import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { exportOciArchive, exportOciLayout } from '../../../src/exporter/oci.ts';
import { digestBytes } from '../../../src/image/digest.ts';
import { imageOf, noSignal, single, tempDir } from './fixture.ts';

const NAMES = ['docker.io/library/app:v0'];

async function entriesOf(bytes: Buffer): Promise<Map<string, { type: string; mtime: number; data: Buffer }>> {
  const entries = new Map<string, { type: string; mtime: number; data: Buffer }>();
  const reader = extract();
  reader.end(bytes);
  for await (const entry of reader) {
    const { name, type, mtime } = entry.header;
    entries.set(name, { type: String(type), mtime: Number(mtime) / 1000, data: await buffer(entry) });
  }
  return entries;
}

describe('exportOciArchive()', () => {
  it('exportOciArchive() writes a layout whose blobs match their names when given a file', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one', 'two', 'one', Buffer.alloc(3 * 1024 * 1024 + 7, 1)]);
    const dest = join(dir, 'out.tar');
    await exportOciArchive(
      single(image),
      { dest },
      { signal: noSignal, names: NAMES, epochSec: 1_600_000_000 },
    );
    const entries = await entriesOf(readFileSync(dest));
    const blobs = [...entries].filter(([, { type }]) => type === 'file' && type !== undefined);
    expect(entries.get('oci-layout')?.data.toString()).toBe('{"imageLayoutVersion":"1.0.0"}');
    expect([...entries.keys()].at(-1)).toBe('index.json');
    expect(new Set([...entries.values()].map((entry) => entry.mtime))).toEqual(new Set([1_600_000_000]));
    const names = blobs.map(([name]) => name).filter((name) => name.startsWith('blobs/'));
    expect(names).toHaveLength(3 + 2);
    for (const name of names) {
      expect(digestBytes(entries.get(name)?.data ?? Buffer.of())).toBe(`sha256:${name.slice(13)}`);
    }
    const index = JSON.parse(entries.get('index.json')?.data.toString() ?? '');
    expect(index.manifests[0].digest).toBe(image.manifest.digest);
    expect(index.manifests[0].annotations['org.opencontainers.image.ref.name']).toBe('v0');
    expect(index.manifests[0].annotations['org.opencontainers.image.created']).toBe('2020-09-13T12:26:40Z');
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('exportOciArchive() gives equal bytes when run twice, also to stdout', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one', 'two']);
    const options = { signal: noSignal, names: NAMES };
    await exportOciArchive(single(image), { dest: join(dir, 'a.tar') }, options);
    const stdout = new PassThrough({ highWaterMark: 100 });
    const read = buffer(stdout);
    await exportOciArchive(single(image), { dest: '-', stdout }, options);
    stdout.end();
    expect(Buffer.compare(await read, readFileSync(join(dir, 'a.tar')))).toBe(0);
  });

  it('exportOciArchive() keeps the old file and leaves nothing when a blob is damaged', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one', 'two']);
    writeFileSync(image.layers[1]?.blobPath ?? '', 'twO');
    writeFileSync(join(dir, 'out.tar'), 'old');
    const failing = exportOciArchive(
      single(image),
      { dest: join(dir, 'out.tar') },
      { signal: noSignal, names: [] },
    );
    await expect(failing).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    expect(readFileSync(join(dir, 'out.tar'), 'utf8')).toBe('old');
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('exportOciArchive() tells size and absence apart when a blob is cut or gone', async () => {
    const dir = tempDir();
    const cut = imageOf(dir, ['cut']);
    appendFileSync(cut.layers[0]?.blobPath ?? '', 'x');
    const options = { signal: noSignal, names: [] };
    const target = { dest: join(dir, 'o') };
    await expect(exportOciArchive(single(cut), target, options)).rejects.toMatchObject({
      code: 'BLOB_SIZE_MISMATCH',
    });
    const gone = { ...cut, layers: cut.layers.map((layer) => ({ ...layer, blobPath: join(dir, 'none') })) };
    await expect(exportOciArchive(single(gone), target, options)).rejects.toMatchObject({
      code: 'BLOB_NOT_FOUND',
    });
  });

  it('exportOciArchive() names the target when it cannot be written', async () => {
    const dir = tempDir();
    const image = imageOf(dir, []);
    const options = { signal: noSignal, names: [] };
    const invalid = { code: 'EXPORT_TARGET_INVALID' };
    await expect(exportOciArchive(single(image), { dest: dir }, options)).rejects.toMatchObject(invalid);
    await expect(
      exportOciArchive(single(image), { dest: join(dir, 'no/f.tar') }, options),
    ).rejects.toMatchObject(invalid);
    const full = { dest: '/dev/full' };
    await expect(exportOciArchive(single(image), full, options)).rejects.toMatchObject({ code: 'DISK_FULL' });
  });

  it('exportOciArchive() replaces what a symlink points to when the target is one', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'real'), '');
    symlinkSync('real', join(dir, 'link'));
    await exportOciArchive(
      single(imageOf(dir, [])),
      { dest: join(dir, 'link') },
      { signal: noSignal, names: [] },
    );
    expect(readFileSync(join(dir, 'real')).length).toBeGreaterThan(1024);
  });

  it('exportOciArchive() stops when the reader of stdout goes or the build is cancelled', async () => {
    const dir = tempDir();
    const image = imageOf(dir, [Buffer.alloc(5_000_000)]);
    const closed = new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const gone = exportOciArchive(
      single(image),
      { dest: '-', stdout: closed },
      { signal: noSignal, names: [] },
    );
    await expect(gone).rejects.toMatchObject({ code: 'EXPORT_FAILED' });
    const stuck = new Writable({ write() {} });
    const controller = new AbortController();
    const stopped = exportOciArchive(
      single(image),
      { dest: '-', stdout: stuck },
      { signal: controller.signal, names: [] },
    );
    setTimeout(() => controller.abort(), 10);
    await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('exportOciLayout()', () => {
  const read = (dir: string): { manifests: { digest: string }[] } =>
    JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8'));

  it('exportOciLayout() keeps other images when it merges into a layout', async () => {
    const dir = tempDir();
    const out = join(dir, 'deep/layout');
    const [first, second] = [imageOf(dir, ['one']), imageOf(dir, ['one', 'two'])];
    await exportOciLayout(single(first), out, { signal: noSignal, names: ['docker.io/library/app:a'] });
    await exportOciLayout(single(second), out, { signal: noSignal, names: ['docker.io/library/app:b'] });
    expect(read(out).manifests.map((m) => m.digest)).toEqual([first.manifest.digest, second.manifest.digest]);
    await exportOciLayout(single(second), out, { signal: noSignal, names: ['docker.io/library/app:a'] });
    expect(read(out).manifests.map((m) => m.digest)).toEqual([
      second.manifest.digest,
      second.manifest.digest,
    ]);
    for (const name of readdirSync(join(out, 'blobs/sha256'))) {
      expect(digestBytes(readFileSync(join(out, 'blobs/sha256', name)))).toBe(`sha256:${name}`);
    }
    expect(readdirSync(out).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('exportOciLayout() repairs a blob when the one in the layout is damaged', async () => {
    const dir = tempDir();
    const out = join(dir, 'layout');
    const image = imageOf(dir, ['one']);
    const options = { signal: noSignal, names: NAMES };
    await exportOciLayout(single(image), out, options);
    const blob = join(out, 'blobs/sha256', image.manifest.digest.slice(7));
    writeFileSync(blob, 'x'.repeat(image.manifest.size));
    await exportOciLayout(single(image), out, options);
    expect(readFileSync(blob)).toEqual(image.manifestBytes);
  });

  it('exportOciLayout() leaves nothing new when it fails', async () => {
    const dir = tempDir();
    const good = imageOf(dir, ['one']);
    const bad = imageOf(dir, ['two', 'three']);
    writeFileSync(bad.layers[1]?.blobPath ?? '', 'thre3');
    const options = { signal: noSignal, names: NAMES };
    const mismatch = { code: 'BLOB_DIGEST_MISMATCH' };
    await expect(exportOciLayout(single(bad), join(dir, 'a/b'), options)).rejects.toMatchObject(mismatch);
    expect(existsSync(join(dir, 'a'))).toBe(false);
    await exportOciLayout(single(good), join(dir, 'c'), options);
    const before = readdirSync(join(dir, 'c'), { recursive: true });
    await expect(exportOciLayout(single(bad), join(dir, 'c'), options)).rejects.toMatchObject(mismatch);
    expect(readdirSync(join(dir, 'c'), { recursive: true })).toEqual(before);
  });

  it('exportOciLayout() refuses when the directory is something else', async () => {
    const dir = tempDir();
    const image = imageOf(dir, []);
    const options = { signal: noSignal, names: NAMES };
    mkdirSync(join(dir, 'x/blobs'), { recursive: true });
    const invalid = { code: 'EXPORT_TARGET_INVALID' };
    await expect(exportOciLayout(single(image), join(dir, 'x'), options)).rejects.toMatchObject(invalid);
    writeFileSync(join(dir, 'file'), '');
    await expect(exportOciLayout(single(image), join(dir, 'file'), options)).rejects.toMatchObject(invalid);
  });
});
