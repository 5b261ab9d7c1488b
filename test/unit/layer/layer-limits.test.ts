import { buffer } from 'node:stream/consumers';
import { constants, createZstdCompress, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readLayerStream } from '../../../src/layer/layer-stream.ts';
import { parseRecords } from '../../../src/layer/tar/tar-numbers.ts';
import { createTarParser, type TarMember } from '../../../src/layer/tar/tar-parser.ts';
import { createTreeBuilder } from '../../../src/layer/tree/tree-builder.ts';
import { foreignTar, type Member, sealHeader, streamOf } from '../../support/layers.ts';

const MIB = 1 << 20;

function read(blob: Buffer, options: { foreign?: boolean; maxBytes?: number } = {}) {
  const { maxBytes, foreign = false } = options;
  const builder = createTreeBuilder(maxBytes === undefined ? {} : { maxBytes });
  const expected = { size: blob.length };
  return readLayerStream(streamOf(blob, 1 << 16), { expected, builder, foreign, plentyBytes: MIB });
}

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length + at] = (copy.at(at) ?? 0) ^ 1;
  return copy;
}

/** As `zstd --ultra --long=30` does it: who reads it must hold so much. */
async function hugeWindow(tar: Buffer): Promise<Buffer> {
  const pack = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 30 } });
  // In two pieces: of one the frame knows the size, and needs no more.
  pack.write(tar.subarray(0, 600));
  pack.end(tar.subarray(600));
  return buffer(pack);
}

function parse(tar: Buffer): void {
  const nothing = (): void => undefined;
  const parser = createTarParser({ member: nothing, data: nothing, memberEnd: nothing });
  parser.push(tar);
  parser.end();
}

describe('readLayerStream()', () => {
  it.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ])(
    'ends a %s bomb before its content is written, and takes what is only well compressed',
    async (_, pack) => {
      const bomb = pack(await foreignTar([{ name: 'zeros', data: Buffer.alloc(8 * MIB) }]));
      await expect(read(bomb)).rejects.toMatchObject({
        code: 'LAYER_INVALID',
        message: expect.stringMatching(/holds more than \d+ B, which no layer of its size does/),
      });
      const fine = pack(await foreignTar([{ name: 'zeros', data: Buffer.alloc(MIB - 4096) }]));
      expect((await read(fine)).tree).toHaveLength(1);
    },
  );

  it.each<[string, (tar: Buffer) => Buffer | Promise<Buffer>, RegExp | undefined]>([
    ['what follows the last member', (tar) => Buffer.concat([gzipSync(tar), Buffer.alloc(600)]), undefined],
    ['a wrong CRC', (tar) => flip(gzipSync(tar), -6), /incorrect data check/],
    ['a cut trailer', (tar) => gzipSync(tar).subarray(0, -3), /unexpected end of file/],
    ['a window of 1 GiB', (tar) => hugeWindow(tar), /requires too much memory/],
  ])('knows compressed data with %s', async (_, pack, message) => {
    const blob = await pack(await foreignTar([{ name: 'a', data: 'hello' }]));
    if (message === undefined) expect((await read(blob)).tree).toHaveLength(1);
    else
      await expect(read(blob)).rejects.toMatchObject({
        code: 'LAYER_INVALID',
        message: expect.stringMatching(message),
      });
  });

  it('ends a bomb of empty files', async () => {
    const header = (await foreignTar([{ name: 'a' }])).subarray(0, 512);
    const bomb = zstdCompressSync(Buffer.concat(Array.from({ length: 8000 }, () => header)));
    await expect(read(bomb)).rejects.toMatchObject({ code: 'LAYER_INVALID' });
  });

  it('ends a sparse file of a petabyte before its first byte', async () => {
    const tar = await foreignTar([{ name: 'hole' }]);
    tar.write('S', 156);
    tar.write('ustar  \0', 257, 'latin1');
    tar.fill(0, 386, 495);
    tar.writeUInt8(0x80, 483);
    tar.writeUInt32BE(2 ** 18, 487);
    sealHeader(tar, 0);
    await expect(read(tar, { foreign: true })).rejects.toMatchObject({
      code: 'LAYER_INVALID',
      message: expect.stringMatching(/holds more than/),
    });
  });

  it('ends an archive whose entries take too much memory', async () => {
    const members = Array.from({ length: 60 }, (_, i): Member => ({ name: `file-${i}` }));
    const heavy: Member = { name: 'x', pax: { 'SCHILY.xattr.user.a': 'v'.repeat(60_000) } };
    expect((await read(await foreignTar(members), { maxBytes: 20_000 })).tree).toHaveLength(60);
    for (const tar of [
      [...members, heavy],
      [...members, ...members],
    ]) {
      await expect(read(await foreignTar(tar), { maxBytes: 20_000 })).rejects.toMatchObject({
        code: 'LAYER_INVALID',
        message: expect.stringMatching(/entries alone take more than 20000 B/),
      });
    }
  });
});

describe('createTreeBuilder()', () => {
  const file: TarMember = {
    ...{ name: Buffer.from('f'), linkName: Buffer.of(), flag: '0', mode: 0o644, uid: 0, gid: 0 },
    ...{ size: 0, mtimeSec: 0, devMajor: 0, devMinor: 0, xattrs: new Map() },
  };
  const named = (name: string, flag: string, link = ''): TarMember => ({
    ...file,
    ...{ name: Buffer.from(name), flag, linkName: Buffer.from(link) },
  });

  it.each<[string, readonly TarMember[]]>([
    ['directories', [named('d/', '5'), named('d/x', '0'), named('d', '0')]],
    ['linked files', [named('a', '0'), named('b', '1', 'a'), named('a', '0')]],
  ])('gives up a layer that replaces its own %s for ever', (_, members) => {
    const builder = createTreeBuilder({ maxScanned: 500 });
    for (let i = 0; i < 50; i++) builder.place(named(`f${i}`, '0'));
    const round = (): void => members.forEach((member) => void builder.place(member));
    round();
    expect(() => Array.from({ length: 50 }, round)).toThrow(/too often/);
  });
});

describe('createTarParser()', () => {
  it.each<[string, Member]>([
    ['name', { name: 'n'.repeat(4097) }],
    ['link', { name: 'l', type: 'symlink', linkname: 'n/'.repeat(40_000) }],
  ])('refuses a %s that is longer than a path may be', async (_, member) => {
    const tar = await foreignTar([member]);
    expect(() => parse(tar)).toThrow(/more than a path may have/);
  });
});

describe('parseRecords()', () => {
  it('reads a header that repeats the list of a sparse file at once', () => {
    const record = '43 GNU.sparse.offset=000000000000000000000\n';
    const count = Math.floor(MIB / record.length);
    const records = parseRecords(Buffer.from(record.repeat(count)));
    expect(records.get('GNU.sparse.offset')?.length).toBe(count * 22 - 1);
  });
});
