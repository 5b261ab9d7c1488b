import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { writeFileAtomic } from '../../util/atomic-fs.ts';

/** Doubles of a row: mtimeMs, ctimeMs, size, inode, mode with type bits. mtimeMs is good to 0.25 µs. */
export const ROW_WIDTH = 5;
/** The row's extended attributes are known. */
export const FLAG_KNOWN = 1;
/** The row's digest is known. */
export const FLAG_DIGEST = 2;

/** Digests are kept as hex: turning 50,000 into text takes 8 ms, reading the text 1 ms. */
export const DIGEST_LENGTH = 64;
/** "OBSTA" and the version; as a double it also tells the byte order. */
const MAGIC = 0x4f425354_4102;
const HEADER_DOUBLES = 5;

/** Rows of what was seen, in canonical order of their paths: a walk in the same order needs no index to find them. */
export interface StatTable {
  readonly names: readonly string[];
  /** ROW_WIDTH doubles each. */
  readonly rows: Float64Array;
  readonly flags: Uint8Array;
  /** DIGEST_LENGTH characters each, as bytes. */
  readonly digests: Buffer;
  /** Row number → attributes; rows without any are absent. */
  readonly xattrs: ReadonlyMap<number, Readonly<Record<string, string>>>;
}

/** An unreadable, damaged or foreign file is an empty table. */
export function readStatTable(file: string): StatTable {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return emptyTable();
  }
  return decode(bytes) ?? emptyTable();
}

/** Replaces the file. Not fsynced: the checksum tells a file that a power loss cut. */
export function writeStatTable(file: string, table: StatTable, temp: string): void {
  const names = Buffer.from(table.names.join('\0'));
  const xattrs = Buffer.from(JSON.stringify([...table.xattrs]));
  const body = [bytesOf(table.rows), table.digests, table.flags, names, xattrs];
  let sum = 0;
  for (const part of body) sum = crc32(part, sum);
  const header = Float64Array.of(MAGIC, table.names.length, names.length, xattrs.length, sum);
  writeFileAtomic(file, [bytesOf(header), ...body], { temp, mode: 0o600 });
}

export function emptyTable(): StatTable {
  return {
    names: [],
    rows: new Float64Array(0),
    flags: new Uint8Array(0),
    digests: Buffer.alloc(0),
    xattrs: new Map(),
  };
}

function decode(bytes: Buffer): StatTable | undefined {
  const headerBytes = HEADER_DOUBLES * 8;
  if (bytes.length < headerBytes) return undefined;
  // A view of doubles must be aligned; small reads may come out of a shared pool.
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  const header = new Float64Array(aligned.buffer, aligned.byteOffset, HEADER_DOUBLES);
  const [magic, count = 0, nameBytes = 0, xattrBytes = 0, sum] = header;
  if (magic !== MAGIC) return undefined;
  let offset = headerBytes;
  const part = (length: number): Buffer => {
    offset += length;
    return aligned.subarray(offset - length, offset);
  };
  const rows = part(count * ROW_WIDTH * 8);
  const digests = part(count * DIGEST_LENGTH);
  const flags = part(count);
  const names = part(nameBytes);
  const xattrs = part(xattrBytes);
  if (offset !== aligned.length || crc32(aligned.subarray(headerBytes)) !== sum) return undefined;
  return {
    names: count === 0 ? [] : names.toString('utf8').split('\0'),
    rows: new Float64Array(rows.buffer, rows.byteOffset, count * ROW_WIDTH),
    flags,
    digests,
    xattrs: new Map(JSON.parse(xattrs.toString('utf8')) as [number, Record<string, string>][]),
  };
}

function bytesOf(doubles: Float64Array): Uint8Array {
  return new Uint8Array(doubles.buffer, doubles.byteOffset, doubles.byteLength);
}
