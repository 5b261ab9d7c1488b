import { Readable } from 'node:stream';
import { extract, type Header } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { encodeHeader } from '../../../../src/layer/tar/tar-header.ts';
import { createTarParser, type TarMember } from '../../../../src/layer/tar/tar-parser.ts';
import { entryOf } from '../../../support/layers.ts';

async function readForeign(header: Buffer): Promise<Header> {
  const reader = extract();
  Readable.from([Buffer.concat([header, Buffer.alloc(1024)])]).pipe(reader);
  for await (const entry of reader) {
    entry.resume();
    return entry.header;
  }
  throw new Error('no member');
}

function readOwn(header: Buffer): TarMember {
  const members: TarMember[] = [];
  const parser = createTarParser({ member: (m) => members.push(m), data: () => {}, memberEnd: () => {} });
  parser.push(header);
  return members[0]!;
}

describe('encodeHeader()', () => {
  it('needs one block when ustar has room', () => {
    const header = encodeHeader(
      entryOf('bin/sh', 'file', { mode: 0o4755, uid: 7, gid: 8, size: 9, mtimeSec: 10 }),
    );
    expect(header.length).toBe(512);
    expect(header.toString('latin1', 257, 265)).toBe('ustar\x0000');
    expect(header.subarray(265, 329).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    [
      'a plain directory',
      entryOf('usr/lib', 'dir', { mode: 0o1777 }),
      { name: 'usr/lib/', type: 'directory' },
    ],
    ['the root', entryOf('', 'dir'), { name: './', type: 'directory' }],
    ['a whiteout', entryOf('a/b', 'whiteout'), { name: 'a/.wh.b', type: 'file' }],
    ['an opaque mark', entryOf('a', 'opaque'), { name: 'a/.wh..wh..opq' }],
    ['a symlink', entryOf('l', 'symlink', { link: '../x' }), { linkname: '../x', type: 'symlink' }],
    ['a long link', entryOf('l', 'symlink', { link: 'x/'.repeat(80) }), { linkname: 'x/'.repeat(80) }],
    ['a device', entryOf('n', 'char', { devMajor: 1, devMinor: 3 }), { devmajor: 1, devminor: 3 }],
    [
      'a name that splits',
      entryOf(`${'d'.repeat(90)}/${'f'.repeat(90)}`, 'file'),
      {
        name: `${'d'.repeat(90)}/${'f'.repeat(90)}`,
      },
    ],
    ['a name that does not split', entryOf('n'.repeat(180), 'file'), { name: 'n'.repeat(180) }],
    ['a name beyond 256', entryOf(`${'d/'.repeat(150)}x`, 'file'), { name: `${'d/'.repeat(150)}x` }],
    ['a name with an umlaut', entryOf('ü', 'file'), { name: 'ü' }],
    ['the largest octal id', entryOf('a', 'file', { uid: 2097151 }), { uid: 2097151 }],
  ])('is read by tar-stream when it is %s', async (_, entry, wanted) => {
    expect(await readForeign(encodeHeader(entry))).toMatchObject(wanted);
  });

  it.each([
    entryOf('a', 'file', { uid: 2097152, gid: 4294967294 }),
    entryOf('a', 'file', { size: 8589934592 }),
    entryOf('a', 'file', { mtimeSec: -5 }),
    entryOf('a', 'file', { mtimeSec: 8589934592 }),
    entryOf('a', 'block', { devMajor: 4095, devMinor: 1048575 }),
  ])('is read back when it holds the odd numbers of %j', (entry) => {
    const { uid, gid, size, mtimeSec, devMajor, devMinor } = readOwn(encodeHeader(entry));
    const { devMajor: major = 0, devMinor: minor = 0 } = entry;
    expect({ uid, gid, size, mtimeSec, devMajor, devMinor }).toEqual({
      uid: entry.uid,
      gid: entry.gid,
      size: entry.size,
      mtimeSec: entry.mtimeSec,
      devMajor: major,
      devMinor: minor,
    });
  });

  it('keeps every byte when an attribute or name is binary', () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const member = readOwn(
      encodeHeader(entryOf('x\udcff/\udc80', 'file', { xattrs: { 'user.b': value.toString('base64') } })),
    );
    expect(member.xattrs.get('user.b')).toEqual(value);
    expect(member.name).toEqual(Buffer.from([0x78, 0xff, 0x2f, 0x80]));
  });

  it('counts its own digits when a record is near a power of ten', () => {
    for (let length = 80; length < 1100; length++) {
      const name = 'é'.repeat(length);
      expect(readOwn(encodeHeader(entryOf(name, 'file'))).name.toString()).toBe(name);
    }
  });

  it('throws LAYER_INVALID when a name would be taken for a deletion', () => {
    expect(() => encodeHeader(entryOf('a/.wh.b', 'file'))).toThrow(
      expect.objectContaining({ code: 'LAYER_INVALID' }),
    );
  });

  it('throws LAYER_INVALID when an attribute name cannot stand in a record', () => {
    const entry = entryOf('a', 'file', { xattrs: { 'user.a=b': 'AA==' } });
    expect(() => encodeHeader(entry)).toThrow(expect.objectContaining({ code: 'LAYER_INVALID' }));
  });
});
