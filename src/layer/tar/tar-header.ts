import { isUtf8 } from 'node:buffer';
import { OcibuildError } from '../../errors/error.ts';
import { encodeName } from '../path-bytes.ts';
import type { EntryType, TreeEntry } from '../types.ts';

export const BLOCK = 512;
const MAX_ID = 0o7777777;
const MAX_OCTAL_12 = 0o77777777777;
const NAME_SIZE = 100;
const PREFIX_SIZE = 155;

const TYPE_FLAGS: Readonly<Record<EntryType, string>> = {
  file: '0',
  dir: '5',
  symlink: '2',
  hardlink: '1',
  char: '3',
  block: '4',
  fifo: '6',
  socket: '0',
  whiteout: '0',
  opaque: '0',
};

/** Bytes up to the next block boundary. */
export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/**
 * Writes the canonical header of an entry (a PAX header before it where ustar has no room) and gives its length.
 * Equal entries give equal bytes on every machine: no user names, no access times, records in sorted order.
 *
 * @throws LAYER_INVALID for a name or attribute that a layer cannot hold
 * @see image-spec layer.md, POSIX pax §ustar and §pax Header Block
 */
export function encodeHeader(entry: TreeEntry): Buffer {
  const name = encodeName(tarName(entry));
  const link = entry.link === undefined ? EMPTY : encodeName(entry.link);
  const records: [string, Buffer][] = [];
  const split = splitName(name);
  if (split === undefined) records.push(['path', name]);
  if (link.length > NAME_SIZE || !isAscii(link)) records.push(['linkpath', link]);
  if (records.some(([, value]) => !isUtf8(value))) {
    records.push(['hdrcharset', Buffer.from('BINARY')]);
  }
  addNumber(records, { key: 'uid', value: entry.uid, max: MAX_ID });
  addNumber(records, { key: 'gid', value: entry.gid, max: MAX_ID });
  const size = entry.type === 'file' ? entry.size : 0;
  addNumber(records, { key: 'size', value: size, max: MAX_OCTAL_12 });
  addNumber(records, { key: 'mtime', value: entry.mtimeSec, max: MAX_OCTAL_12 });
  addNumber(records, { key: 'SCHILY.devmajor', value: entry.devMajor ?? 0, max: MAX_ID });
  addNumber(records, { key: 'SCHILY.devminor', value: entry.devMinor ?? 0, max: MAX_ID });
  if (entry.xattrs !== undefined) addXattrs(records, entry.path, entry.xattrs);

  const pax = records.length === 0 ? EMPTY : encodeRecords(records);
  const paxSize = pax.length === 0 ? 0 : BLOCK + padded(pax.length);
  const header = Buffer.alloc(paxSize + BLOCK);
  if (paxSize > 0) {
    const base = asciiOf(name.subarray(0, -1).lastIndexOf(0x2f) + 1, name).slice(0, 80);
    writeBlock(header, 0, { name: `PaxHeaders/${base}`, mode: 0o644, size: pax.length, flag: 'x' });
    pax.copy(header, BLOCK);
  }
  writeBlock(header, paxSize, {
    name: split?.name ?? asciiOf(0, name).slice(0, NAME_SIZE),
    prefix: split?.prefix ?? '',
    link: asciiOf(0, link).slice(0, NAME_SIZE),
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size,
    mtime: entry.mtimeSec,
    devMajor: entry.devMajor ?? 0,
    devMinor: entry.devMinor ?? 0,
    flag: TYPE_FLAGS[entry.type],
  });
  return header;
}

const EMPTY = Buffer.alloc(0);

/** How a layer archive names an entry: directories end in a slash, deletions become `.wh.` files. */
function tarName({ path, type }: TreeEntry): string {
  const slash = path.lastIndexOf('/') + 1;
  if (type === 'whiteout') return `${path.slice(0, slash)}.wh.${path.slice(slash)}`;
  if (type === 'opaque') return path === '' ? '.wh..wh..opq' : `${path}/.wh..wh..opq`;
  if (path.startsWith('.wh.', slash)) {
    throw new OcibuildError(
      'LAYER_INVALID',
      `Cannot store "${path}" in a layer: names that start with ".wh." mark deletions there`,
      { details: { path } },
    );
  }
  if (type !== 'dir') return path;
  return path === '' ? './' : `${path}/`;
}

function splitName(name: Buffer): { name: string; prefix: string } | undefined {
  if (!isAscii(name)) return undefined;
  const text = name.toString('latin1');
  if (name.length <= NAME_SIZE) return { name: text, prefix: '' };
  // The separator between both parts is not stored; a directory's own last slash may not be taken for it.
  const from = name.length - NAME_SIZE - 1;
  const slash = text.indexOf('/', Math.max(from, 1));
  if (slash === -1 || slash > PREFIX_SIZE || slash >= text.length - 1) return undefined;
  return { prefix: text.slice(0, slash), name: text.slice(slash + 1) };
}

function isAscii(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte >= 0x80) return false;
  return true;
}

/** A stand-in for readers without PAX. */
function asciiOf(start: number, bytes: Buffer): string {
  return bytes.toString('latin1', start).replace(/[\x80-\xff]/g, '_');
}

function addNumber(
  records: [string, Buffer][],
  { key, value, max }: { key: string; value: number; max: number },
): void {
  if (value < 0 || value > max) records.push([key, Buffer.from(String(value))]);
}

function addXattrs(
  records: [string, Buffer][],
  path: string,
  xattrs: Readonly<Record<string, string>>,
): void {
  for (const [name, value] of Object.entries(xattrs)) {
    if (name.includes('=')) {
      throw new OcibuildError(
        'LAYER_INVALID',
        `Cannot store attribute "${name}" of "${path}" in a layer: its name holds "="`,
        { details: { path, xattr: name } },
      );
    }
    records.push([`SCHILY.xattr.${name}`, Buffer.from(value, 'base64')]);
  }
}

function encodeRecords(records: [string, Buffer][]): Buffer {
  records.sort(([a], [b]) => (a === b ? 0 : a === 'hdrcharset' || (b !== 'hdrcharset' && a < b) ? -1 : 1));
  const parts: Buffer[] = [];
  for (const [key, value] of records) {
    const keyBytes = Buffer.from(` ${key}=`, 'utf8');
    const rest = keyBytes.length + value.length + 1;
    // The length counts its own digits.
    let length = rest + String(rest).length;
    if (String(length).length !== String(rest).length) length = rest + String(length).length;
    parts.push(Buffer.from(String(length)), keyBytes, value, Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}

interface BlockFields {
  readonly name: string;
  readonly prefix?: string;
  readonly link?: string;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size: number;
  readonly mtime?: number;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly flag: string;
}

function writeBlock(out: Buffer, at: number, fields: BlockFields): void {
  out.write(fields.name, at, 'latin1');
  out.write(octal(fields.mode, 7, MAX_ID), at + 100, 'latin1');
  out.write(octal(fields.uid ?? 0, 7, MAX_ID), at + 108, 'latin1');
  out.write(octal(fields.gid ?? 0, 7, MAX_ID), at + 116, 'latin1');
  out.write(octal(fields.size, 11, MAX_OCTAL_12), at + 124, 'latin1');
  out.write(octal(fields.mtime ?? 0, 11, MAX_OCTAL_12), at + 136, 'latin1');
  out.write(`        ${fields.flag}`, at + 148, 'latin1');
  if (fields.link) out.write(fields.link, at + 157, 'latin1');
  out.write('ustar\x0000', at + 257, 'latin1');
  if (fields.flag === '3' || fields.flag === '4') {
    out.write(octal(fields.devMajor ?? 0, 7, MAX_ID), at + 329, 'latin1');
    out.write(octal(fields.devMinor ?? 0, 7, MAX_ID), at + 337, 'latin1');
  }
  if (fields.prefix) out.write(fields.prefix, at + 345, 'latin1');
  let sum = 0;
  for (let i = at; i < at + BLOCK; i++) sum += out[i] as number;
  out.write(`${octal(sum, 6, MAX_ID)}\0 `, at + 148, 'latin1');
}

/** A number that does not fit stands in a PAX record and as 0 here. */
function octal(value: number, digits: number, max: number): string {
  return (value < 0 || value > max ? 0 : value).toString(8).padStart(digits, '0');
}
