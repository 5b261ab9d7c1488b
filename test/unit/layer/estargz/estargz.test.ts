import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ANNOTATION, type Descriptor, MEDIA_TYPE } from '../../../../src/image/types.ts';
import { recompressAsEstargz } from '../../../../src/layer/compression/recompress.ts';
import { writeEstargz } from '../../../../src/layer/estargz/estargz.ts';
import {
  decodeFooter,
  encodeFooter,
  readTocTree,
  type Toc,
} from '../../../../src/layer/estargz/estargz-toc.ts';
import type { Tree } from '../../../../src/layer/types.ts';
import { readTree } from '../../../../src/layer/unpack-layer.ts';
import {
  createScratch,
  entryOf,
  foreignTar,
  type Member,
  type Scratch,
  sha256,
  streamOf,
} from '../../../support/layers.ts';

const signal = new AbortController().signal;
const LIST = 'stargz.index.json';
const LANDMARK = '.no.prefetch.landmark';
const BIG = Buffer.concat([randomBytes(3 << 20), Buffer.alloc((5 << 20) + 1, 'x')]);

async function converted(scratch: Scratch, tar: Buffer, options: { level?: number } = {}) {
  const source = scratch.path('source');
  const blob = gzipSync(tar);
  writeFileSync(source, blob);
  const from: Descriptor = { mediaType: MEDIA_TYPE.layerGzip, digest: sha256(blob), size: blob.length };
  const dest = scratch.path(`dest-${Math.random()}`);
  const made = await recompressAsEstargz(source, dest, { from, signal, ...options });
  return { ...made, dest, bytes: readFileSync(dest) };
}

/** The list as a reader finds it: by the footer alone. */
function listOf(bytes: Buffer): { readonly toc: Toc; readonly text: Buffer; readonly offset: number } {
  const offset = decodeFooter(bytes.subarray(-51));
  if (offset === undefined) throw new Error('no footer');
  const tar = gunzipSync(bytes.subarray(offset, -51));
  const size = Number.parseInt(tar.toString('latin1', 124, 135), 8);
  const text = tar.subarray(512, 512 + size);
  expect(tar.length).toBe(512 + Math.ceil(size / 512) * 512 + 1024);
  return { toc: JSON.parse(text.toString()) as Toc, text, offset };
}

function sampleTar(...more: Member[]): Promise<Buffer> {
  const owner = { uid: 1000, gid: 5, mtime: new Date('2024-05-06T07:08:09Z') };
  return foreignTar([
    { name: 'd/', type: 'directory', mode: 0o1777, ...owner },
    { name: 'd/empty', data: '' },
    { name: 'd/f', data: 'hello\n', mode: 0o4755, ...owner, pax: { 'SCHILY.xattr.user.a': 'b' } },
    { name: 'd/hard', type: 'link', linkname: 'd/f' },
    { name: 'd/soft', type: 'symlink', linkname: '../elsewhere' },
    { name: 'd/.wh.gone', data: '' },
    { name: 'dev', type: 'character-device', devmajor: 1, devminor: 3 },
    ...more,
    { name: 'ünïcode', data: 'x' },
  ]);
}

function without(tree: Tree, ...paths: string[]): Tree {
  return tree.filter(({ path }) => !paths.includes(path));
}

describe('recompressAsEstargz()', () => {
  it('keeps the tar up to its end, and adds the landmark and the list', async () => {
    using scratch = createScratch();
    const tar = await sampleTar();
    const { bytes, descriptor, diffId } = await converted(scratch, tar);
    const plain = gunzipSync(bytes);
    expect(plain.subarray(0, tar.length - 1024).equals(tar.subarray(0, -1024))).toBe(true);
    expect(sha256(plain)).toBe(diffId);
    expect(descriptor).toEqual({
      mediaType: MEDIA_TYPE.layerGzip,
      digest: sha256(bytes),
      size: bytes.length,
      annotations: {
        [ANNOTATION.tocDigest]: sha256(listOf(bytes).text),
        [ANNOTATION.uncompressedSize]: String(plain.length),
      },
    });
  });

  it('gives what an ordinary reader unpacks: the layer, the landmark and the list', async () => {
    using scratch = createScratch();
    const tar = await sampleTar();
    const { dest, descriptor, diffId } = await converted(scratch, tar);
    const { digest, size } = descriptor;
    const { tree } = await readTree({ path: dest }, { digest, size, diffId, signal });
    const { tree: before } = await readTree({ path: scratch.path('source') }, { signal });
    expect(without(tree, LIST, LANDMARK)).toEqual(before);
    expect(tree.filter(({ path }) => [LIST, LANDMARK].includes(path))).toHaveLength(2);
  });

  it('begins a member at every content and every 4 MiB of a large one, as the list says', async () => {
    using scratch = createScratch();
    const { bytes } = await converted(scratch, await sampleTar({ name: 'big', data: BIG }));
    const { toc, offset } = listOf(bytes);
    const files = toc.entries.filter(({ offset }) => offset !== undefined);
    expect(files.map(({ name, chunkOffset = 0, chunkSize = 0 }) => [name, chunkOffset, chunkSize])).toEqual([
      ['d/f', 0, 0],
      ['big', 0, 4 << 20],
      ['big', 4 << 20, 4 << 20],
      ['big', 8 << 20, 0],
      ['ünïcode', 0, 0],
      [LANDMARK, 0, 0],
    ]);
    const sizes = new Map(
      toc.entries.filter(({ type }) => type === 'reg').map(({ name, size }) => [name, size ?? 0]),
    );
    for (const { name, offset: at = 0, chunkOffset = 0, chunkSize, chunkDigest } of files) {
      const whole = gunzipSync(bytes.subarray(at, offset));
      const piece = whole.subarray(0, chunkSize ?? (sizes.get(name) ?? 0) - chunkOffset);
      expect(sha256(piece)).toBe(chunkDigest);
    }
    expect(toc.entries.find(({ name }) => name === 'big')?.digest).toBe(sha256(BIG));
  });

  it('gives the same bytes again, and others at another level', async () => {
    using scratch = createScratch();
    const tar = await sampleTar();
    const [first, second, stored] = [
      await converted(scratch, tar),
      await converted(scratch, tar),
      await converted(scratch, tar, { level: 0 }),
    ];
    expect(second.descriptor).toEqual(first.descriptor);
    expect(stored.diffId).not.toBe(first.diffId);
    expect(stored.descriptor.size).toBeGreaterThan(first.descriptor.size);
  });

  it('converts eStargz again without a second list or landmark', async () => {
    using scratch = createScratch();
    const first = await converted(scratch, await sampleTar());
    const again = await converted(scratch, gunzipSync(first.bytes));
    expect(again.descriptor).toEqual(first.descriptor);
  });

  it('throws LAYER_INVALID, and leaves nothing, when the tar ends inside an entry', async () => {
    using scratch = createScratch();
    const tar = await foreignTar([{ name: 'f', data: 'hello' }]);
    await expect(converted(scratch, tar.subarray(0, 514))).rejects.toMatchObject({ code: 'LAYER_INVALID' });
  });

  it('throws BLOB_DIGEST_MISMATCH when the source is another blob', async () => {
    using scratch = createScratch();
    writeFileSync(scratch.path('source'), gzipSync(await sampleTar()));
    const from = { mediaType: MEDIA_TYPE.layerGzip, digest: sha256('other'), size: 5 };
    const convert = recompressAsEstargz(scratch.path('source'), scratch.path('dest'), { from, signal });
    await expect(convert).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
  });
});

describe('writeEstargz()', () => {
  it('gives the same bytes however the tar comes, and drops what follows its end', async () => {
    const tar = await sampleTar();
    const written = async (data: Buffer, pieceSize: number): Promise<string> => {
      const members: Buffer[] = [];
      const write = (member: Buffer): void => void members.push(member);
      await writeEstargz(streamOf(data, pieceSize), { level: 1, write });
      return sha256(Buffer.concat(members));
    };
    const whole = await written(tar, tar.length);
    for (const size of [7, 511, 512, 513]) expect(await written(tar, size)).toBe(whole);
    expect(await written(Buffer.concat([tar, Buffer.alloc(5000, 'x')]), 1000)).toBe(whole);
  });
});

describe('readTocTree()', () => {
  function readerOf(bytes: Buffer) {
    const reads: number[] = [];
    return {
      reads,
      size: bytes.length,
      async readEnd(offset: number) {
        reads.push(offset);
        return bytes.subarray(offset);
      },
    };
  }

  it('gives the very tree of the layer by two reads at its end', async () => {
    using scratch = createScratch();
    const { bytes, dest, descriptor } = await converted(scratch, await sampleTar());
    const reader = readerOf(bytes);
    const tree = await readTocTree(reader, descriptor.annotations?.[ANNOTATION.tocDigest] ?? '');
    expect(tree).toEqual((await readTree({ path: dest }, { signal })).tree);
    expect(reader.reads).toEqual([bytes.length - 51, listOf(bytes).offset]);
  });

  it('keeps names that are not UTF-8', async () => {
    using scratch = createScratch();
    const packed = await scratch.pack([
      scratch.file('a\udc80b', 'x'),
      entryOf('l', 'symlink', { link: '\udcff' }),
    ]);
    const { bytes, dest, descriptor } = await converted(scratch, gunzipSync(readFileSync(packed.blob)));
    const tree = await readTocTree(readerOf(bytes), descriptor.annotations?.[ANNOTATION.tocDigest] ?? '');
    expect(tree).toEqual((await readTree({ path: dest }, { signal })).tree);
  });

  it('gives undefined when the list is not the one of the digest, or there is none', async () => {
    using scratch = createScratch();
    const { bytes, descriptor } = await converted(scratch, await sampleTar());
    const digest = descriptor.annotations?.[ANNOTATION.tocDigest] ?? '';
    expect(await readTocTree(readerOf(bytes), sha256('other'))).toBeUndefined();
    const damaged = Buffer.from(bytes);
    damaged[listOf(bytes).offset + 40] = (damaged[listOf(bytes).offset + 40] ?? 0) ^ 1;
    expect(await readTocTree(readerOf(damaged), digest)).toBeUndefined();
    expect(await readTocTree(readerOf(gzipSync('x'.repeat(100))), digest)).toBeUndefined();
    expect(await readTocTree(readerOf(Buffer.alloc(3)), digest)).toBeUndefined();
  });

  it('gives undefined when a name was lost in the list', async () => {
    const list = JSON.stringify({ version: 1, entries: [{ name: 'a\ufffdb', type: 'dir' }] });
    const tar = await foreignTar([{ name: LIST, data: list }]);
    const blob = Buffer.concat([gzipSync(tar), encodeFooter(0)]);
    expect(await readTocTree(readerOf(blob), sha256(list))).toBeUndefined();
  });
});

describe('encodeFooter()', () => {
  it('gives an empty gzip member of 51 bytes that decodeFooter() reads', () => {
    const footer = encodeFooter(0x1234);
    expect(footer).toHaveLength(51);
    expect(gunzipSync(footer)).toHaveLength(0);
    expect(decodeFooter(footer)).toBe(0x1234);
    expect(decodeFooter(gzipSync(''))).toBeUndefined();
  });
});
