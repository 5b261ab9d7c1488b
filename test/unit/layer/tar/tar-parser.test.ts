import { describe, expect, it } from 'vitest';
import { createTarParser } from '../../../../src/layer/tar/tar-parser.ts';
import { foreignTar, sealHeader } from '../../../support/layers.ts';

interface Seen {
  name: string;
  flag: string;
  data: string;
  uid: number;
  linkName: string;
  mtimeSec: number;
}

function parse(tar: Buffer, pieceSize = tar.length): Seen[] {
  const seen: Seen[] = [];
  const parser = createTarParser({
    member({ name, flag, uid, linkName, mtimeSec }) {
      seen.push({ name: name.toString(), flag, uid, mtimeSec, linkName: linkName.toString(), data: '' });
    },
    data(bytes) {
      seen.at(-1)!.data += bytes.toString('latin1');
    },
    memberEnd() {},
  });
  for (let at = 0; at < tar.length; at += pieceSize) parser.push(tar.subarray(at, at + pieceSize));
  parser.end();
  return seen;
}

function block(fields: {
  name: string;
  flag: string;
  size?: number;
  magic?: string;
  mtime?: string;
}): Buffer {
  const header = Buffer.alloc(512);
  header.write(fields.name, 0, 'latin1');
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${(fields.size ?? 0).toString(8).padStart(11, '0')}\0`, 124);
  header.write(fields.mtime ?? '00000000000\0', 136);
  header.write(fields.flag, 156, 'latin1');
  header.write(fields.magic ?? 'ustar\x0000', 257, 'latin1');
  return sealHeader(header, 0);
}

function body(text: string): Buffer {
  const data = Buffer.alloc(Math.ceil(text.length / 512) * 512);
  data.write(text, 'latin1');
  return data;
}

const END = Buffer.alloc(1024);
const invalid = expect.objectContaining({ code: 'LAYER_INVALID' });

describe('createTarParser()', () => {
  it.each([1, 7, 511, 512, 513, 4096])('sees the same members when chunks have %i B', async (size) => {
    const tar = await foreignTar([
      { name: 'a', data: 'x'.repeat(1500) },
      { name: 'd/', type: 'directory' },
      { name: `${'long/'.repeat(60)}b`, data: 'y' },
      { name: 'l', type: 'link', linkname: 'a' },
    ]);
    expect(parse(tar, size)).toEqual(parse(tar));
    expect(parse(tar).map(({ name, flag, data }) => [name, flag, data.length])).toEqual([
      ['a', '0', 1500],
      ['d/', '5', 0],
      [`${'long/'.repeat(60)}b`, '0', 1],
      ['l', '1', 0],
    ]);
  });

  it('reads v7 when there is no magic', () => {
    const dir = block({ name: 'old/', flag: '\0', magic: '\0' });
    const file = block({ name: 'old/f', flag: '\0', magic: '\0', size: 2 });
    const seen = parse(Buffer.concat([dir, file, body('hi'), END]));
    expect(seen.map(({ name, flag, data }) => [name, flag, data])).toEqual([
      ['old/', '5', ''],
      ['old/f', '0', 'hi'],
    ]);
  });

  it('reads GNU long names and links when they come before a member', () => {
    const [name, link] = ['n'.repeat(300), 't'.repeat(200)];
    const tar = Buffer.concat([
      block({ name: '././@LongLink', flag: 'L', size: 301, magic: 'ustar  \0' }),
      body(`${name}\0`),
      block({ name: '././@LongLink', flag: 'K', size: 201, magic: 'ustar  \0' }),
      body(`${link}\0`),
      block({ name: 'cut', flag: '2', magic: 'ustar  \0' }),
      block({ name: 'next', flag: '0', magic: 'ustar  \0' }),
      END,
    ]);
    expect(parse(tar).map(({ name: n, linkName }) => [n, linkName])).toEqual([
      [name, link],
      ['next', ''],
    ]);
  });

  it('reads base-256 numbers when the first bit is set', () => {
    const header = block({ name: 'a', flag: '0' });
    header.writeUInt32BE(0x80000000, 108);
    header.writeUInt32BE(3000000, 112);
    header.fill(0xff, 136, 148);
    const [seen] = parse(Buffer.concat([sealHeader(header, 0), END]));
    expect(seen).toMatchObject({ uid: 3000000, mtimeSec: -1 });
  });

  it('leaves global headers out, as other readers of layers do', () => {
    const global = 'uid';
    const records = `13 ${global}=4242\n`.replace('13', '12');
    const local = '10 uid=77\n';
    const tar = Buffer.concat([
      block({ name: 'g', flag: 'g', size: records.length }),
      body(records),
      block({ name: 'a', flag: '0' }),
      block({ name: 'x', flag: 'x', size: local.length }),
      body(local),
      block({ name: 'b', flag: '0' }),
      block({ name: 'c', flag: '0' }),
      END,
    ]);
    expect(parse(tar).map(({ uid }) => uid)).toEqual([0, 77, 0]);
  });

  it('takes fractions of PAX times down when they are negative', () => {
    const record = '15 mtime=-1.25\n';
    const tar = [
      block({ name: 'x', flag: 'x', size: record.length }),
      body(record),
      block({ name: 'a', flag: '0' }),
      END,
    ];
    expect(parse(Buffer.concat(tar))[0]?.mtimeSec).toBe(-2);
  });

  it('accepts an archive that ends with the last byte of its last member', () => {
    const tar = Buffer.concat([block({ name: 'a', flag: '0', size: 2 }), Buffer.from('hi')]);
    expect(parse(tar).map(({ data }) => data)).toEqual(['hi']);
    expect(() => parse(tar.subarray(0, -1))).toThrow(invalid);
  });

  it('accepts an archive when its zero blocks are missing', () => {
    expect(parse(block({ name: 'a', flag: '0' }))).toHaveLength(1);
    expect(parse(Buffer.alloc(0))).toEqual([]);
  });

  it('ignores what follows when two zero blocks were read', () => {
    expect(
      parse(Buffer.concat([block({ name: 'a', flag: '0' }), END, Buffer.alloc(9000, 'x')])),
    ).toHaveLength(1);
  });

  it.each<[string, Buffer]>([
    ['the checksum is wrong', Buffer.from(block({ name: 'a', flag: '0' }).fill('b', 0, 1))],
    ['it stops in a header', block({ name: 'a', flag: '0' }).subarray(0, 300)],
    ['it stops in content', Buffer.concat([block({ name: 'a', flag: '0', size: 600 }), body('x')])],
    [
      'it stops after a PAX header',
      Buffer.concat([block({ name: 'x', flag: 'x', size: 10 }), body('10 uid=77\n')]),
    ],
    ['a zero block stands alone', Buffer.concat([Buffer.alloc(512), block({ name: 'a', flag: '0' })])],
    ['a PAX header is huge', block({ name: 'x', flag: 'x', size: 2 ** 30 })],
    [
      'a PAX length is a lie',
      Buffer.concat([block({ name: 'x', flag: 'x', size: 10 }), body('99 uid=77\n')]),
    ],
    [
      'a PAX size is no number',
      Buffer.concat([
        block({ name: 'x', flag: 'x', size: 13 }),
        body('13 size=1e30\n'),
        block({ name: 'a', flag: '0' }),
      ]),
    ],
    ['a file is sparse', block({ name: 'a', flag: 'S' })],
    [
      'a sparse file comes by PAX',
      Buffer.concat([
        block({ name: 'x', flag: 'x', size: 22 }),
        body('22 GNU.sparse.major=1\n'),
        block({ name: 'a', flag: '0' }),
      ]),
    ],
    ['a number is not octal', sealHeader(block({ name: 'a', flag: '0', mtime: 'zzzzzzzzzzz\0' }), 0)],
  ])('throws LAYER_INVALID when %s', (_, tar) => {
    expect(() => parse(tar)).toThrow(invalid);
  });
});
