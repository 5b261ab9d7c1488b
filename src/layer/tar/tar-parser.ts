import {
  createSparseExpander,
  type SparseExpander,
  type SparseHeader,
  type SparseMap,
  sparseBlock,
  sparseHeader,
} from './sparse.ts';
import { BLOCK, padded } from './tar-header.ts';
import {
  checksumMatches,
  fieldBytes,
  invalidLayer,
  isZeroBlock,
  parseDecimal,
  parseNumber,
  parseRecords,
} from './tar-numbers.ts';

/** A member of an archive as it stands there; names are raw bytes. */
export interface TarMember {
  readonly name: Buffer;
  readonly linkName: Buffer;
  /** Type flag; NUL and `7` are given as `0`, a v7 directory as `5`. */
  readonly flag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow; 0 for everything but files. Of a sparse file, holes included. */
  readonly size: number;
  readonly mtimeSec: number;
  readonly devMajor: number;
  readonly devMinor: number;
  /** Attribute name → value. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export interface TarHandler {
  member(member: TarMember): void;
  /** Content of the last member, in order; the buffer is valid during the call only. */
  data(bytes: Buffer): void;
  /** All content of the last member was given. Called for every member. */
  memberEnd(): void;
}

/** Synchronous push parser; memory does not grow with the archive. */
export interface TarParser {
  /** @throws LAYER_INVALID */
  push(chunk: Buffer): void;
  /** @throws LAYER_INVALID where the archive stops inside a member */
  end(): void;
}

/** Room for PAX records and long names: 64 KiB of attributes in base-64 and to spare. */
const MAX_META = 1 << 20;
/** Linux's PATH_MAX. */
const MAX_NAME = 4096;
const XATTR_PREFIX = 'SCHILY.xattr.';
const NONE: ReadonlyMap<string, Buffer> = new Map();

type Meta = 'x' | 'g' | 'L' | 'K';

export interface TarParserOptions {
  /** Sparse members are given with their holes as zeros; otherwise refused. @default false */
  readonly sparse?: boolean;
}

/**
 * Reads v7, ustar, PAX, GNU long names, links and base-256 numbers. Global headers say nothing: Go's reader, and with it
 * every other tool for images, leaves them out.
 * @see image-spec layer.md, POSIX pax
 */
export function createTarParser(handler: TarHandler, options: TarParserOptions = {}): TarParser {
  const header = Buffer.alloc(BLOCK);
  let held = 0;
  let state: 'header' | 'meta' | 'body' | 'padding' | 'end' = 'header';
  let left = 0;
  let padding = 0;
  let zeroBlocks = 0;
  let meta: { kind: Meta; data: Buffer; at: number } | undefined;
  let local: ReadonlyMap<string, Buffer> = NONE;
  let longName: Buffer | undefined;
  let longLink: Buffer | undefined;
  let pending: { member: StoredMember; map: SparseMap } | undefined;
  let expander: SparseExpander | undefined;

  function onHeader(block: Buffer): void {
    if (pending !== undefined) {
      onSparseBlock(block, pending);
      return;
    }
    if (isZeroBlock(block)) {
      zeroBlocks++;
      if (zeroBlocks === 2) state = 'end';
      return;
    }
    if (zeroBlocks > 0) throw invalidLayer('a single zero block stands between its members');
    if (!checksumMatches(block)) throw invalidLayer('a header has the wrong checksum');
    const flag = String.fromCharCode(block[156] as number);
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') startMeta(flag, block);
    else startMember(memberOf(block, { local, longName, longLink }, options));
  }

  function onSparseBlock(block: Buffer, { member, map }: { member: StoredMember; map: SparseMap }): void {
    const next = sparseBlock(map, block);
    pending = next.more ? { member, map: next.map } : undefined;
    if (pending === undefined) startMember({ ...member, sparse: { size: next.map.size, map: next.map } });
  }

  function startMeta(kind: Meta, block: Buffer): void {
    const size = parseNumber(block, 124, 12);
    if (size < 0 || size > MAX_META) {
      throw invalidLayer(`an extended header has ${size} B, more than the ${MAX_META} B allowed`);
    }
    meta = { kind, data: Buffer.alloc(size), at: 0 };
    state = 'meta';
    left = size;
    padding = padded(size) - size;
    if (size === 0) endMeta();
  }

  function endMeta(): void {
    if (meta === undefined) return;
    const { kind, data } = meta;
    meta = undefined;
    if (kind === 'x') local = parseRecords(data);
    else if (kind === 'L') longName = fieldBytes(data, 0, data.length);
    else if (kind === 'K') longLink = fieldBytes(data, 0, data.length);
    state = 'padding';
  }

  function startMember(member: StoredMember): void {
    const { sparse, stored, ...facts } = member;
    if (sparse?.extended && sparse.map !== undefined) {
      pending = { member, map: sparse.map };
      return;
    }
    local = NONE;
    longName = undefined;
    longLink = undefined;
    left = stored;
    padding = padded(left) - left;
    expander = sparse && createSparseExpander(sparse, handler.data);
    handler.member(facts);
    state = 'body';
    if (left === 0) endMember();
  }

  function endMember(): void {
    expander?.end();
    expander = undefined;
    handler.memberEnd();
    state = 'padding';
  }

  function pushHeader(chunk: Buffer, at: number): number {
    if (held === 0 && chunk.length - at >= BLOCK) {
      onHeader(chunk.subarray(at, at + BLOCK));
      return BLOCK;
    }
    const count = Math.min(BLOCK - held, chunk.length - at);
    chunk.copy(header, held, at, at + count);
    held += count;
    if (held === BLOCK) {
      held = 0;
      onHeader(header);
    }
    return count;
  }

  function pushMeta(chunk: Buffer, at: number): number {
    if (meta === undefined) return 0;
    const count = Math.min(left, chunk.length - at);
    chunk.copy(meta.data, meta.at, at, at + count);
    meta.at += count;
    left -= count;
    if (left === 0) endMeta();
    return count;
  }

  function pushBody(chunk: Buffer, at: number): number {
    const count = Math.min(left, chunk.length - at);
    const bytes = chunk.subarray(at, at + count);
    if (expander === undefined) handler.data(bytes);
    else expander.push(bytes);
    left -= count;
    if (left === 0) endMember();
    return count;
  }

  return {
    push(chunk) {
      let at = 0;
      while (at < chunk.length && state !== 'end') {
        if (state === 'header') at += pushHeader(chunk, at);
        else if (state === 'meta') at += pushMeta(chunk, at);
        else if (state === 'body') at += pushBody(chunk, at);
        if (state !== 'padding') continue;
        const count = Math.min(padding, chunk.length - at);
        at += count;
        padding -= count;
        if (padding === 0) state = 'header';
      }
    },
    end() {
      if (state === 'end') return;
      // Archives that end without zero blocks are common and have lost nothing; those of umoci's `insert` end without
      // the last padding, too.
      const open =
        local !== NONE || longName !== undefined || longLink !== undefined || pending !== undefined;
      const between = state === 'header' || state === 'padding';
      if (!between || held > 0 || open) throw invalidLayer('it ends inside a member');
    },
  };
}

interface Overrides {
  readonly local: ReadonlyMap<string, Buffer>;
  readonly longName: Buffer | undefined;
  readonly longLink: Buffer | undefined;
}

interface StoredMember extends TarMember {
  /** Bytes in the archive. */
  readonly stored: number;
  readonly sparse?: SparseHeader;
}

function memberOf(
  block: Buffer,
  { local, longName, longLink }: Overrides,
  options: TarParserOptions,
): StoredMember {
  const record = (key: string): Buffer | undefined => {
    const value = local.get(key);
    // POSIX pax: an empty value stands for what the header has.
    return value === undefined || value.length === 0 ? undefined : value;
  };
  const number = (key: string, at: number, length: number): number => {
    const value = record(key);
    return value === undefined ? parseNumber(block, at, length) : parseDecimal(value, key);
  };
  const name = record('path') ?? longName ?? ustarName(block);
  const linkName = record('linkpath') ?? longLink ?? fieldBytes(block, 157, 100);
  if (name.includes(0) || linkName.includes(0)) throw invalidLayer('a name holds a NUL byte');
  if (name.length > MAX_NAME || linkName.length > MAX_NAME) {
    throw invalidLayer(`a name has ${Math.max(name.length, linkName.length)} B, more than a path may have`);
  }
  const written = flagOf(block, name);
  const sparse = sparseHeader(written, block, record);
  if (sparse !== undefined && options.sparse !== true) {
    throw invalidLayer(`"${name.toString()}" is stored as a sparse file`);
  }
  const flag = sparse === undefined ? written : '0';
  const size = number('size', 124, 12);
  const [uid, gid] = [number('uid', 108, 8), number('gid', 116, 8)];
  if (size < 0) throw invalidLayer(`"${name.toString()}" has the size ${size} B`);
  // 0xffffffff is "no change" to chown(2).
  if (uid < 0 || gid < 0 || uid >= 0xffffffff || gid >= 0xffffffff) {
    throw invalidLayer(`"${name.toString()}" has the owner ${uid}:${gid}`);
  }
  const device = flag === '3' || flag === '4';
  return {
    name: Buffer.from(sparse?.name ?? name),
    linkName: Buffer.from(linkName),
    flag,
    mode: parseNumber(block, 100, 8) & 0o7777,
    uid,
    gid,
    size: flag === '0' ? (sparse?.size ?? size) : 0,
    stored: flag === '0' ? size : 0,
    ...(sparse === undefined ? {} : { sparse }),
    mtimeSec: number('mtime', 136, 12),
    devMajor: device ? number('SCHILY.devmajor', 329, 8) : 0,
    devMinor: device ? number('SCHILY.devminor', 337, 8) : 0,
    xattrs: xattrsOf(local),
  };
}

function flagOf(block: Buffer, name: Buffer): string {
  const byte = block[156] as number;
  const flag = byte === 0 || byte === 0x37 ? '0' : String.fromCharCode(byte);
  // v7 archives know directories by their name alone.
  return byte === 0 && name.at(-1) === 0x2f ? '5' : flag;
}

function ustarName(block: Buffer): Buffer {
  const name = fieldBytes(block, 0, 100);
  // GNU's own format ("ustar  ") keeps times where POSIX has the prefix.
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? fieldBytes(block, 345, 155) : name.subarray(0, 0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

function xattrsOf(local: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  if (local.size === 0) return NONE;
  const found = new Map<string, Buffer>();
  for (const [key, value] of local) {
    if (key.startsWith(XATTR_PREFIX)) found.set(key.slice(XATTR_PREFIX.length), value);
  }
  return found;
}
