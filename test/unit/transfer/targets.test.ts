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
import { createdOf, indexEntries } from '../../../src/exporter/image-writer.ts';
import type { ExportTarget } from '../../../src/exporter/target.ts';
import type { ExportSet } from '../../../src/exporter/types.ts';
import { digestBytes } from '../../../src/image/digest.ts';
import { type ArchiveTargetOptions, archiveTarget } from '../../../src/transfer/archive-target.ts';
import { copyImage } from '../../../src/transfer/copy-image.ts';
import { imageSetSource } from '../../../src/transfer/image-set.ts';
import { layoutTarget } from '../../../src/transfer/layout-target.ts';
import type { ImageTarget } from '../../../src/transfer/types.ts';
import { imageOf, noSignal, single, tempDir } from '../exporter/fixture.ts';

interface WriteOptions {
  readonly signal: AbortSignal;
  readonly names: readonly string[];
  readonly epochSec?: number;
}

function about(set: ExportSet, { signal, names, epochSec }: WriteOptions): ArchiveTargetOptions {
  const entries: ArchiveTargetOptions['entries'] = (top) =>
    indexEntries(top, names, createdOf(set, epochSec));
  return { signal, entries, ...(epochSec === undefined ? {} : { epochSec }) };
}

function write(target: ImageTarget, set: ExportSet, signal: AbortSignal): Promise<void> {
  return target(set.top, (to) => copyImage(set.top, { from: imageSetSource(set), to }, { signal }));
}

function writeArchive(set: ExportSet, target: ExportTarget, options: WriteOptions): Promise<void> {
  return write(archiveTarget(target, about(set, options)), set, options.signal);
}

function writeLayout(set: ExportSet, dir: string, options: WriteOptions): Promise<void> {
  return write(layoutTarget(dir, about(set, options)), set, options.signal);
}

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

describe('archiveTarget()', () => {
  it('archiveTarget() writes a layout whose blobs match their names when given a file', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one', 'two', 'one', Buffer.alloc(3 * 1024 * 1024 + 7, 1)]);
    const dest = join(dir, 'out.tar');
    await writeArchive(single(image), { dest }, { signal: noSignal, names: NAMES, epochSec: 1_600_000_000 });
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

  it('archiveTarget() gives equal bytes when run twice, also to stdout', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one', 'two']);
    const options = { signal: noSignal, names: NAMES };
    await writeArchive(single(image), { dest: join(dir, 'a.tar') }, options);
    const stdout = new PassThrough({ highWaterMark: 100 });
    const read = buffer(stdout);
    await writeArchive(single(image), { dest: '-', stdout }, options);
    stdout.end();
    expect(Buffer.compare(await read, readFileSync(join(dir, 'a.tar')))).toBe(0);
  });

  it('archiveTarget() keeps the old file and leaves nothing when a blob is damaged', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one', 'two']);
    writeFileSync(image.layers[1]?.blobPath ?? '', 'twO');
    writeFileSync(join(dir, 'out.tar'), 'old');
    const failing = writeArchive(
      single(image),
      { dest: join(dir, 'out.tar') },
      { signal: noSignal, names: [] },
    );
    await expect(failing).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    expect(readFileSync(join(dir, 'out.tar'), 'utf8')).toBe('old');
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('archiveTarget() tells size and absence apart when a blob is cut or gone', async () => {
    const dir = tempDir();
    const cut = imageOf(dir, ['cut']);
    appendFileSync(cut.layers[0]?.blobPath ?? '', 'x');
    const options = { signal: noSignal, names: [] };
    const target = { dest: join(dir, 'o') };
    await expect(writeArchive(single(cut), target, options)).rejects.toMatchObject({
      code: 'BLOB_SIZE_MISMATCH',
    });
    const gone = { ...cut, layers: cut.layers.map((layer) => ({ ...layer, blobPath: join(dir, 'none') })) };
    await expect(writeArchive(single(gone), target, options)).rejects.toMatchObject({
      code: 'BLOB_NOT_FOUND',
    });
  });

  it('archiveTarget() names the target when it cannot be written', async () => {
    const dir = tempDir();
    const image = imageOf(dir, []);
    const options = { signal: noSignal, names: [] };
    const invalid = { code: 'EXPORT_TARGET_INVALID' };
    await expect(writeArchive(single(image), { dest: dir }, options)).rejects.toMatchObject(invalid);
    await expect(writeArchive(single(image), { dest: join(dir, 'no/f.tar') }, options)).rejects.toMatchObject(
      invalid,
    );
    const full = { dest: '/dev/full' };
    await expect(writeArchive(single(image), full, options)).rejects.toMatchObject({ code: 'DISK_FULL' });
  });

  it('archiveTarget() replaces what a symlink points to when the target is one', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'real'), '');
    symlinkSync('real', join(dir, 'link'));
    await writeArchive(
      single(imageOf(dir, [])),
      { dest: join(dir, 'link') },
      { signal: noSignal, names: [] },
    );
    expect(readFileSync(join(dir, 'real')).length).toBeGreaterThan(1024);
  });

  it('archiveTarget() stops when the reader of stdout goes or the build is cancelled', async () => {
    const dir = tempDir();
    const image = imageOf(dir, [Buffer.alloc(5_000_000)]);
    const closed = new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const gone = writeArchive(single(image), { dest: '-', stdout: closed }, { signal: noSignal, names: [] });
    await expect(gone).rejects.toMatchObject({ code: 'EXPORT_FAILED' });
    const stuck = new Writable({ write() {} });
    const controller = new AbortController();
    const stopped = writeArchive(
      single(image),
      { dest: '-', stdout: stuck },
      { signal: controller.signal, names: [] },
    );
    setTimeout(() => controller.abort(), 10);
    await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('layoutTarget()', () => {
  const read = (dir: string): { manifests: { digest: string }[] } =>
    JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8'));

  it('layoutTarget() keeps other images when it merges into a layout', async () => {
    const dir = tempDir();
    const out = join(dir, 'deep/layout');
    const [first, second] = [imageOf(dir, ['one']), imageOf(dir, ['one', 'two'])];
    await writeLayout(single(first), out, { signal: noSignal, names: ['docker.io/library/app:a'] });
    await writeLayout(single(second), out, { signal: noSignal, names: ['docker.io/library/app:b'] });
    expect(read(out).manifests.map((m) => m.digest)).toEqual([first.manifest.digest, second.manifest.digest]);
    await writeLayout(single(second), out, { signal: noSignal, names: ['docker.io/library/app:a'] });
    expect(read(out).manifests.map((m) => m.digest)).toEqual([
      second.manifest.digest,
      second.manifest.digest,
    ]);
    for (const name of readdirSync(join(out, 'blobs/sha256'))) {
      expect(digestBytes(readFileSync(join(out, 'blobs/sha256', name)))).toBe(`sha256:${name}`);
    }
    expect(readdirSync(out).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('layoutTarget() repairs a blob when the one in the layout is damaged', async () => {
    const dir = tempDir();
    const out = join(dir, 'layout');
    const image = imageOf(dir, ['one']);
    const options = { signal: noSignal, names: NAMES };
    await writeLayout(single(image), out, options);
    const blob = join(out, 'blobs/sha256', image.manifest.digest.slice(7));
    writeFileSync(blob, 'x'.repeat(image.manifest.size));
    await writeLayout(single(image), out, options);
    expect(readFileSync(blob)).toEqual(image.manifestBytes);
  });

  it('layoutTarget() leaves nothing new when it fails', async () => {
    const dir = tempDir();
    const good = imageOf(dir, ['one']);
    const bad = imageOf(dir, ['two', 'three']);
    writeFileSync(bad.layers[1]?.blobPath ?? '', 'thre3');
    const options = { signal: noSignal, names: NAMES };
    const mismatch = { code: 'BLOB_DIGEST_MISMATCH' };
    await expect(writeLayout(single(bad), join(dir, 'a/b'), options)).rejects.toMatchObject(mismatch);
    expect(existsSync(join(dir, 'a'))).toBe(false);
    // An empty directory of somebody's stays one, in which the next try finds nothing strange.
    mkdirSync(join(dir, 'c'));
    await expect(writeLayout(single(bad), join(dir, 'c'), options)).rejects.toMatchObject(mismatch);
    expect(readdirSync(join(dir, 'c'))).toEqual([]);
    await writeLayout(single(good), join(dir, 'c'), options);
    const before = readdirSync(join(dir, 'c'), { recursive: true });
    await expect(writeLayout(single(bad), join(dir, 'c'), options)).rejects.toMatchObject(mismatch);
    expect(readdirSync(join(dir, 'c'), { recursive: true })).toEqual(before);
  });

  it('layoutTarget() lets others write into a layout that it is making, and leaves theirs when it fails', async () => {
    const dir = tempDir();
    const out = join(dir, 'a/layout');
    const [good, bad] = [imageOf(dir, ['one']), imageOf(dir, ['two'])];
    writeFileSync(bad.layers[0]?.blobPath ?? '', 'tw0');
    const slow = layoutTarget(
      out,
      about(single(bad), { signal: noSignal, names: ['docker.io/library/app:a'] }),
    );
    await expect(
      slow(bad.manifest, async (to) => {
        await writeLayout(single(good), out, { signal: noSignal, names: ['docker.io/library/app:b'] });
        await copyImage(bad.manifest, { from: imageSetSource(single(bad)), to }, { signal: noSignal });
      }),
    ).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    expect(read(out).manifests.map((m) => m.digest)).toEqual([good.manifest.digest]);
    // Manifest, config and layer.
    expect(readdirSync(join(out, 'blobs/sha256'))).toHaveLength(3);
  });

  it('layoutTarget() leaves a blob that it added when another writer found it before it failed', async () => {
    const dir = tempDir();
    const out = join(dir, 'layout');
    const [good, bad] = [imageOf(dir, ['one']), imageOf(dir, ['two', 'one'])];
    writeFileSync(bad.layers[0]?.blobPath ?? '', 'tw0');
    const failing = layoutTarget(out, about(single(bad), { signal: noSignal, names: NAMES }));
    const from = imageSetSource(single(bad));
    const shared = bad.layers[1]?.descriptor ?? expect.fail('no layer');
    await expect(
      failing(bad.manifest, async (to) => {
        await to.putBlob(shared, from.blob(shared, noSignal), { signal: noSignal, onProgress() {} });
        await writeLayout(single(good), out, { signal: noSignal, names: ['docker.io/library/app:b'] });
        await copyImage(bad.manifest, { from, to }, { signal: noSignal });
      }),
    ).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    const kept = readdirSync(join(out, 'blobs/sha256')).map((name) => `sha256:${name}`);
    expect(kept).toHaveLength(3);
    expect(kept).toContain(shared.digest);
    expect(readdirSync(out).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('layoutTarget() goes on where a process was killed before it wrote the index', async () => {
    const dir = tempDir();
    const image = imageOf(dir, ['one']);
    mkdirSync(join(dir, 'left/blobs/sha256'), { recursive: true });
    writeFileSync(join(dir, 'left/oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeLayout(single(image), join(dir, 'left'), { signal: noSignal, names: NAMES });
    expect(read(join(dir, 'left')).manifests.map((m) => m.digest)).toEqual([image.manifest.digest]);
  });

  it('layoutTarget() refuses when the directory is something else', async () => {
    const dir = tempDir();
    const image = imageOf(dir, []);
    const options = { signal: noSignal, names: NAMES };
    mkdirSync(join(dir, 'x/blobs'), { recursive: true });
    const invalid = { code: 'EXPORT_TARGET_INVALID' };
    await expect(writeLayout(single(image), join(dir, 'x'), options)).rejects.toMatchObject(invalid);
    writeFileSync(join(dir, 'file'), '');
    await expect(writeLayout(single(image), join(dir, 'file'), options)).rejects.toMatchObject(invalid);
  });
});
