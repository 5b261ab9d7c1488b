import { gunzipSync } from 'node:zlib';
import { digestBytes, isDigest } from '../../image/digest.ts';
import { encodeName } from '../path-bytes.ts';
import { invalidLayer } from '../tar/tar-numbers.ts';
import { createTarParser, type TarMember } from '../tar/tar-parser.ts';
import { createTreeBuilder } from '../tree/tree-builder.ts';
import type { Tree } from '../types.ts';

/** What the list of contents is called in the archive. */
export const TOC_NAME = 'stargz.index.json';
/** Bytes of the footer. */
export const FOOTER_SIZE = 51;

/** One entry, or a later piece of a large file. Fields that say nothing are absent. @see estargz.md §TOCEntry */
export interface TocEntry {
  /** As in the archive: a directory's ends in a slash. Bytes that are not UTF-8 as in `path-bytes.ts`. */
  name: string;
  type: 'reg' | 'dir' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'chunk';
  size?: number;
  /** RFC 3339, UTC. */
  modtime?: string;
  linkName?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  devMajor?: number;
  devMinor?: number;
  /** Name → value in base64. */
  xattrs?: Record<string, string>;
  digest?: string;
  /** Of the gzip member in the blob. */
  offset?: number;
  chunkOffset?: number;
  /** 0 or absent: up to the end of the file. */
  chunkSize?: number;
  chunkDigest?: string;
}

export interface Toc {
  readonly version: 1;
  readonly entries: readonly TocEntry[];
}

/** Where parts of a blob are read from. */
export interface PartReader {
  /** Bytes of the blob. */
  readonly size: number;
  /** Exactly the bytes from `offset` to the end. */
  readEnd(offset: number): Promise<Buffer>;
}

/** Far above those of real layers (250 B an entry); what is larger is read as an ordinary layer. */
const MAX_TOC_BLOB = 32 << 20;
const MAX_TOC_TAR = 256 << 20;

const TYPES: Readonly<Record<Exclude<TocEntry['type'], 'chunk'>, string>> = {
  reg: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  dir: '5',
  fifo: '6',
};

/** An empty gzip member whose extra field says where the list of contents begins. @see estargz.md §Footer */
export function encodeFooter(tocOffset: number): Buffer {
  const footer = Buffer.alloc(FOOTER_SIZE);
  // RFC 1952: magic, deflate, FEXTRA, no time, no flags, unknown operating system; then XLEN = 26, "SG", 22.
  footer.set([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, 0x53, 0x47, 22, 0]);
  footer.write(`${tocOffset.toString(16).padStart(16, '0')}STARGZ`, 16, 'latin1');
  // One stored block of no bytes; CRC and length of nothing are 0.
  footer.set([1, 0, 0, 255, 255], 38);
  return footer;
}

/** Where the list of contents begins; undefined for what is no footer. */
export function decodeFooter(footer: Buffer): number | undefined {
  const [, digits] = /^([0-9a-f]{16})STARGZ$/.exec(footer.toString('latin1', 16, 38)) ?? [];
  if (footer.length !== FOOTER_SIZE || digits === undefined) return undefined;
  const offset = Number.parseInt(digits, 16);
  return Number.isSafeInteger(offset) && footer.equals(withSystem(encodeFooter(offset), footer))
    ? offset
    : undefined;
}

/** Writers name different operating systems, and different levels of effort, for the same thing. */
function withSystem(expected: Buffer, footer: Buffer): Buffer {
  footer.copy(expected, 8, 8, 10);
  return expected;
}

const FIELDS: readonly (keyof TocEntry)[] = [
  ...(['name', 'type', 'size', 'modtime', 'linkName', 'mode', 'uid', 'gid', 'devMajor', 'devMinor'] as const),
  ...(['xattrs', 'digest', 'offset', 'chunkOffset', 'chunkSize', 'chunkDigest'] as const),
];

/** Fields have one order: when each is known depends on how fast members are compressed. */
export function encodeToc(entries: readonly TocEntry[]): Buffer {
  const ordered = entries.map((entry) =>
    Object.fromEntries(
      FIELDS.flatMap((field) => (entry[field] === undefined ? [] : [[field, entry[field]]])),
    ),
  );
  return Buffer.from(JSON.stringify({ version: 1, entries: ordered }));
}

/** What a member with this type flag is called. @throws LAYER_INVALID for one that layers do not hold */
export function tocType(flag: string): Exclude<TocEntry['type'], 'chunk'> {
  const type = (Object.keys(TYPES) as (keyof typeof TYPES)[]).find((each) => TYPES[each] === flag);
  if (type === undefined) throw invalidLayer(`a member has the unknown type "${flag}"`);
  return type;
}

/**
 * The tree of a layer from its list of contents alone: two reads at the end of the blob. Undefined where the list
 * is not the one that the digest is of, or does not tell all that a tree holds: the layer itself says it then.
 * Times are rounded to seconds by some writers, where a layer's are cut.
 * @throws what `reader` throws
 */
export async function readTocTree(reader: PartReader, tocDigest: string): Promise<Tree | undefined> {
  const footerAt = reader.size - FOOTER_SIZE;
  if (footerAt <= 0) return undefined;
  const tocOffset = decodeFooter(await reader.readEnd(footerAt));
  if (tocOffset === undefined || tocOffset >= footerAt || footerAt - tocOffset > MAX_TOC_BLOB)
    return undefined;
  const end = await reader.readEnd(tocOffset);
  try {
    const { member, bytes } = onlyMember(gunzipSync(end, { maxOutputLength: MAX_TOC_TAR }));
    if (digestBytes(bytes) !== tocDigest) return undefined;
    return treeOf(JSON.parse(bytes.toString('utf8')) as Toc, { member, digest: tocDigest });
  } catch {
    // Damaged or of a kind that we do not know.
    return undefined;
  }
}

function onlyMember(tar: Buffer): { readonly member: TarMember; readonly bytes: Buffer } {
  const members: TarMember[] = [];
  const pieces: Buffer[] = [];
  const parser = createTarParser({
    member: (found) => members.push(found),
    data: (bytes) => pieces.push(Buffer.from(bytes)),
    memberEnd: () => undefined,
  });
  parser.push(tar);
  parser.end();
  const [member] = members;
  if (member?.name.toString() !== TOC_NAME || members.length !== 1)
    throw invalidLayer('it has no list of contents');
  return { member, bytes: Buffer.concat(pieces) };
}

/** The list says everything but itself. */
function treeOf(
  { version, entries }: Toc,
  own: { readonly member: TarMember; readonly digest: string },
): Tree {
  if (version !== 1) throw invalidLayer(`its list of contents has version ${version}`);
  const builder = createTreeBuilder();
  const place = (member: TarMember, digest: string | undefined): void => {
    const entry = builder.place(member);
    if (entry?.type !== 'file') return;
    if (!isDigest(digest)) throw invalidLayer('its list of contents lacks a digest');
    builder.setDigest(entry.path, digest);
  };
  for (const entry of entries) if (entry.type !== 'chunk') place(memberOf(entry), entry.digest);
  place(own.member, own.digest);
  return builder.finish();
}

function memberOf(entry: TocEntry): TarMember {
  const { name, type, size = 0, mode = 0, uid = 0, gid = 0, linkName = '', modtime, xattrs = {} } = entry;
  const flag = type === 'chunk' ? undefined : TYPES[type];
  // JSON of other writers cannot hold names that are not UTF-8.
  const isExact = flag !== undefined && !`${name}${linkName}`.includes('\ufffd');
  const numbers = [size, mode, uid, gid, entry.devMajor ?? 0, entry.devMinor ?? 0];
  if (!isExact || !numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) {
    throw invalidLayer(`its list of contents does not tell what "${name}" is`);
  }
  return {
    name: encodeName(name),
    linkName: encodeName(linkName),
    flag,
    mode: mode & 0o7777,
    ...{ uid, gid },
    size: type === 'reg' ? size : 0,
    mtimeSec: modtime === undefined ? 0 : Math.floor(Date.parse(modtime) / 1000),
    devMajor: entry.devMajor ?? 0,
    devMinor: entry.devMinor ?? 0,
    xattrs: new Map(Object.entries(xattrs).map(([key, value]) => [key, Buffer.from(value, 'base64')])),
  };
}
