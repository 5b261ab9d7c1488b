import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestBytes } from '../../../src/image/digest.ts';
import { parseReference } from '../../../src/image/reference.ts';
import { MEDIA_TYPE } from '../../../src/image/types.ts';
import { openArchive } from '../../../src/transfer/archive-file.ts';
import { archiveSource, findInArchive } from '../../../src/transfer/archive-source.ts';
import { archiveTarget } from '../../../src/transfer/archive-target.ts';
import { copyImage } from '../../../src/transfer/copy-image.ts';
import { openDockerArchive } from '../../../src/transfer/docker-archive.ts';
import { imageSetSource } from '../../../src/transfer/image-set.ts';
import { layoutTarget } from '../../../src/transfer/layout-target.ts';
import type { ContentSource } from '../../../src/transfer/types.ts';
import { tarOf } from '../../support/layout.ts';
import { imageOf, noSignal as signal, single, tempDir } from '../exporter/fixture.ts';

type Member = readonly [header: Parameters<ReturnType<typeof pack>['entry']>[0], content?: string | Buffer];

/** A tar file with these members, as they are. */
async function tarFile(dir: string, members: readonly Member[]): Promise<string> {
  const tar = pack();
  for (const [header, content = ''] of members) tar.entry(header, content);
  tar.finalize();
  const file = join(dir, 'image.tar');
  writeFileSync(file, await buffer(tar));
  return file;
}

const json = (name: string, value: unknown): Member => [{ name }, JSON.stringify(value)];

const LAYERS = [tarOf({ 'a.txt': 'one' }), tarOf({ 'b.txt': 'two' })] as const;
const CONFIG = {
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: LAYERS.map(digestBytes) },
};

/** The form that Docker wrote before version 25. */
function oldSave(change: Partial<Record<string, unknown>> = {}): Member[] {
  return [
    [{ name: 'one/', type: 'directory' }],
    [{ name: 'one/layer.tar' }, LAYERS[0]],
    [{ name: 'two/layer.tar' }, gzipSync(LAYERS[1])],
    json('config.json', CONFIG),
    json('manifest.json', [
      { Config: 'config.json', RepoTags: ['app:v0'], Layers: ['one/layer.tar', 'two/layer.tar'], ...change },
    ]),
  ];
}

async function copyToLayout(
  { top, content }: { top: Parameters<typeof copyImage>[0]; content: ContentSource },
  dir: string,
): Promise<void> {
  const target = layoutTarget(dir, { entries: (image) => [image], signal });
  await target(top, (to) => copyImage(top, { from: content, to }, { signal }));
}

async function openSave(file: string, tempDirectory: string, name?: string) {
  const archive = await openArchive(file, { tempDir: tempDirectory, signal });
  onTestFinished(() => archive[Symbol.asyncDispose]());
  const ref = name === undefined ? undefined : parseReference(name);
  return { archive, ...(await openDockerArchive(archive, { ref, signal })) };
}

describe('openDockerArchive()', () => {
  it('gives the layers as they are when there are tars and gzips', async () => {
    const dir = tempDir();
    const found = await openSave(await tarFile(dir, oldSave()), dir, 'app:v0');
    await copyToLayout(found, join(dir, 'out'));
    const manifest = JSON.parse((await found.content.readBytes(found.top, signal)).toString());
    expect(manifest.layers).toEqual([
      { mediaType: MEDIA_TYPE.layerTar, digest: digestBytes(LAYERS[0]), size: LAYERS[0].length },
      expect.objectContaining({ mediaType: MEDIA_TYPE.layerGzip }),
    ]);
    expect(readdirSync(join(dir, 'out/blobs/sha256'))).toHaveLength(4);
  });

  it('follows a link to the layer of another image', async () => {
    const dir = tempDir();
    const members = oldSave({ Layers: ['one/layer.tar', 'three/layer.tar'] });
    const link: Member = [{ name: 'three/layer.tar', type: 'symlink', linkname: '../two/layer.tar' }];
    const found = await openSave(await tarFile(dir, [...members, link]), dir);
    await copyToLayout(found, join(dir, 'out'));
  });

  it.each([
    ['a layer is missing', { Layers: ['one/layer.tar', 'none.tar'] }, 'BLOB_NOT_FOUND', /"none\.tar"/],
    ['layers and diff_ids differ', { Layers: ['one/layer.tar'] }, 'IMAGE_INVALID', /1 layers and 2 diff_ids/],
    ['layers are no list', { Layers: 7 }, 'ARCHIVE_INVALID', /list of images/],
    ['the name is another', { RepoTags: ['b:1'] }, 'IMAGE_NOT_FOUND', /"app:v0".*b:1/],
  ])('tells the fault when %s', async (_, change, code, message) => {
    const dir = tempDir();
    const file = await tarFile(dir, oldSave(change));
    const failing = openSave(file, dir, 'app:v0');
    await expect(failing).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('keeps nothing when a layer is not what its config says', async () => {
    const dir = tempDir();
    const members = oldSave().map(
      (member): Member =>
        member[0].name === 'one/layer.tar' ? [member[0], tarOf({ 'a.txt': 'oNe' })] : member,
    );
    const found = await openSave(await tarFile(dir, members), dir);
    const failing = copyToLayout(found, join(dir, 'out'));
    await expect(failing).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    expect(existsSync(join(dir, 'out'))).toBe(false);
  });

  it('names the images when there are several and none is asked for', async () => {
    const dir = tempDir();
    const image = { Config: 'c', RepoTags: ['a:1'], Layers: [] };
    const file = await tarFile(dir, [json('manifest.json', [image, { ...image, RepoTags: ['b:1'] }])]);
    await expect(openSave(file, dir)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      hint: expect.stringContaining(':a:1"'),
    });
  });

  it('tells images apart that share a config, by their layers and by their name', async () => {
    const dir = tempDir();
    const blobs = new Map<string, Buffer>();
    const put = (bytes: Buffer | string, mediaType: string) => {
      const digest = digestBytes(bytes);
      blobs.set(digest, Buffer.from(bytes));
      return { mediaType, digest, size: Buffer.byteLength(bytes) };
    };
    const config = put(JSON.stringify(CONFIG), MEDIA_TYPE.config);
    const images = (['plain', 'gzip', 'docker'] as const).map((kind) => {
      const layers = LAYERS.map((layer) =>
        kind === 'plain' ? put(layer, MEDIA_TYPE.layerTar) : put(gzipSync(layer), MEDIA_TYPE.layerGzip),
      );
      const mediaType = kind === 'docker' ? MEDIA_TYPE.dockerManifest : MEDIA_TYPE.manifest;
      const manifest = put(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }), mediaType);
      const name = `docker.io/library/app:${kind}`;
      return {
        entry: { ...manifest, annotations: { 'io.containerd.image.name': name } },
        saved: {
          Config: `blobs/${config.digest.replace(':', '/')}`,
          RepoTags: [`app:${kind}`],
          Layers: layers.map(({ digest }) => `blobs/${digest.replace(':', '/')}`),
        },
      };
    });
    const file = await tarFile(dir, [
      json('oci-layout', { imageLayoutVersion: '1.0.0' }),
      json('index.json', { schemaVersion: 2, manifests: images.map(({ entry }) => entry) }),
      json(
        'manifest.json',
        images.map(({ saved }) => saved),
      ),
      ...[...blobs].map(([digest, bytes]): Member => [{ name: `blobs/${digest.replace(':', '/')}` }, bytes]),
    ]);
    for (const { entry, saved } of images) {
      expect((await openSave(file, dir, saved.RepoTags[0])).top.digest).toBe(entry.digest);
    }
  });

  it('gives the very manifest when the archive is a layout too', async () => {
    const dir = tempDir();
    const set = single(imageOf(dir, ['one', 'two']));
    const dest = join(dir, 'save.tar');
    const target = archiveTarget(
      { dest },
      { entries: (top) => [top], docker: { names: ['app:v0', 'reg.example/app'] }, signal },
    );
    await target(set.top, (to) => copyImage(set.top, { from: imageSetSource(set), to }, { signal }));
    const found = await openSave(dest, dir, 'reg.example/app:latest');
    expect(found.top.digest).toBe(set.top.digest);
    const names = ['repositories', 'manifest.json'].map((name) => found.archive.find(name));
    const [repositories, images] = await Promise.all(
      names.map(async (member) => JSON.parse((await found.archive.read(member as never)).toString())),
    );
    expect(Object.keys(repositories)).toEqual(['app', 'reg.example/app']);
    expect(images[0].RepoTags).toEqual(['app:v0', 'reg.example/app']);
  });
});

describe('openArchive()', () => {
  const file = (name: string): Member => [{ name }, 'x'];

  it.each<[string, Member[], RegExp]>([
    ['a name leads out', [file('../evil')], /"\.\.\/evil" leads out/],
    ['a name leads out behind a folder', [file('blobs/../../evil')], /leads out/],
    ['a name is absolute', [file('/etc/passwd')], /leads out/],
    ['a symlink leads out', [[{ name: 'a', type: 'symlink', linkname: '../../etc/passwd' }]], /leads out/],
    ['a hard link leads out', [[{ name: 'a', type: 'link', linkname: '/etc/passwd' }]], /leads out/],
    ['a name stands twice', [file('index.json'), file('./index.json')], /"index\.json" twice/],
    ['there is a device', [[{ name: 'a', type: 'character-device', devmajor: 1, devminor: 3 }]], /neither/],
    ['a header is huge', [[{ name: 'a', pax: { comment: 'x'.repeat(2 << 20) } }]], /extended header/],
  ])('refuses when %s', async (_, members, message) => {
    const dir = tempDir();
    const failing = openArchive(await tarFile(dir, members), { tempDir: dir, signal });
    await expect(failing).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(message),
    });
  });

  it('refuses a link to a link only when it is used', async () => {
    const dir = tempDir();
    const members: Member[] = [
      [{ name: 'a', type: 'symlink', linkname: 'b' }],
      [{ name: 'b', type: 'symlink', linkname: 'a' }],
    ];
    await using archive = await openArchive(await tarFile(dir, members), { tempDir: dir, signal });
    expect(() => archive.find('a')).toThrow(/no file in it/);
  });

  it.each([
    ['inside a file', 700, /ends inside "index\.json"/],
    ['inside a header', 300, /ends inside a header|no tar/],
  ])('tells where when the archive was cut %s', async (_, length, message) => {
    const dir = tempDir();
    const path = await tarFile(dir, [[{ name: 'index.json' }, 'x'.repeat(600)]]);
    writeFileSync(path, readFileSync(path).subarray(0, length));
    await expect(openArchive(path, { tempDir: dir, signal })).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(message),
    });
  });

  it('reads compressed archives, and leaves nothing of what it unpacked', async () => {
    const dir = tempDir();
    const temp = join(dir, 'temp');
    mkdirSync(temp);
    const path = await tarFile(dir, [file('a')]);
    for (const compress of [gzipSync, zstdCompressSync]) {
      writeFileSync(join(dir, 'small'), compress(readFileSync(path)));
      const archive = await openArchive(join(dir, 'small'), { tempDir: temp, signal });
      expect((await archive.read(archive.find('a') as never)).toString()).toBe('x');
      expect(readdirSync(temp)).toHaveLength(1);
      await archive[Symbol.asyncDispose]();
      expect(readdirSync(temp)).toEqual([]);
    }
  });

  it('reads what comes through a FIFO, also compressed, and leaves nothing of it', async () => {
    const dir = tempDir();
    const temp = join(dir, 'temp');
    mkdirSync(temp);
    const tar = readFileSync(await tarFile(dir, [file('a')]));
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const bytes of [tar, gzipSync(tar)]) {
      const [archive] = await Promise.all([
        openArchive(fifo, { tempDir: temp, signal }),
        writeFile(fifo, bytes),
      ]);
      expect((await archive.read(archive.find('a') as never)).toString()).toBe('x');
      await archive[Symbol.asyncDispose]();
      expect(readdirSync(temp)).toEqual([]);
    }
    const failing = openArchive(fifo, { tempDir: temp, signal });
    await Promise.all([expect(failing).rejects.toThrow(/fifo": it is no tar/), writeFile(fifo, 'nothing')]);
    expect(readdirSync(temp)).toEqual([]);
  });

  it('gives up a decompression bomb and what it wrote', async () => {
    const dir = tempDir();
    const temp = join(dir, 'temp');
    mkdirSync(temp);
    const path = join(dir, 'bomb');
    writeFileSync(path, gzipSync(Buffer.alloc(20 << 20)));
    const failing = openArchive(path, { tempDir: temp, plentyBytes: 1 << 20, signal });
    await expect(failing).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(/decompresses to more than/),
    });
    expect(readdirSync(temp)).toEqual([]);
  });

  it.each([
    ['is damaged', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 40), Buffer.alloc(40, 1)])],
    ['is cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 20)],
  ])('says so when the compressed data %s', async (_, spoil) => {
    const dir = tempDir();
    const path = await tarFile(dir, [
      [{ name: 'a' }, Buffer.from(Array.from({ length: 999 }, (__, i) => i))],
    ]);
    writeFileSync(path, spoil(gzipSync(readFileSync(path))));
    const failing = openArchive(path, { tempDir: dir, signal });
    await expect(failing).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(/compressed data is damaged/),
    });
    expect(readdirSync(dir)).toEqual(['image.tar']);
  });
});

describe('findInArchive()', () => {
  it.each<[string, Member[], string, RegExp]>([
    ['it is a Docker archive', [json('manifest.json', [])], 'ARCHIVE_INVALID', /no OCI archive/],
    [
      'the layout is of another version',
      [json('oci-layout', { imageLayoutVersion: '2.0.0' }), json('index.json', {})],
      'LAYOUT_INVALID',
      /"2\.0\.0"/,
    ],
  ])('refuses when %s', async (_, members, code, message) => {
    const dir = tempDir();
    await using archive = await openArchive(await tarFile(dir, members), { tempDir: dir, signal });
    await expect(findInArchive(archive, {})).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('tells which blob is missing or has another size', async () => {
    const dir = tempDir();
    const top = { mediaType: MEDIA_TYPE.manifest, digest: digestBytes('x'), size: 1 };
    const head = [
      json('oci-layout', { imageLayoutVersion: '1.0.0' }),
      json('index.json', { schemaVersion: 2, manifests: [top] }),
    ];
    await using none = await openArchive(await tarFile(dir, head), { tempDir: dir, signal });
    const found = await findInArchive(none, {});
    await expect(archiveSource(none).readBytes(found, signal)).rejects.toMatchObject({
      code: 'BLOB_NOT_FOUND',
    });
    const long: Member = [{ name: `blobs/sha256/${top.digest.slice(7)}` }, 'xx'];
    await using wrong = await openArchive(await tarFile(dir, [...head, long]), { tempDir: dir, signal });
    await expect(archiveSource(wrong).readBytes(found, signal)).rejects.toMatchObject({
      code: 'BLOB_SIZE_MISMATCH',
    });
  });
});
