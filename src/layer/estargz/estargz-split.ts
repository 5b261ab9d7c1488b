import { createHash, type Hash } from 'node:crypto';
import { digestBytes } from '../../image/digest.ts';
import { decodeName } from '../path-bytes.ts';
import { BLOCK, padded } from '../tar/tar-header.ts';
import { isZeroBlock } from '../tar/tar-numbers.ts';
import { createTarParser, type TarMember } from '../tar/tar-parser.ts';
import { TOC_NAME, type TocEntry, tocType } from './estargz-toc.ts';

/** Takes the pieces of a tar. */
export interface PieceSink {
  /** The bytes stay untouched by their owner. */
  add(bytes: Buffer): void;
  /** Content begins here: of this entry. */
  cut(entry: TocEntry): void;
}

/** The usual size: what one request of a lazy reader brings at most. */
export const CHUNK_BYTES: number = 4 << 20;

/** Names may be written from the root or from the working directory. */
export function bareName(name: string): string {
  return name.replace(/^(?:\.?\/)+/, '');
}

/**
 * Passes a tar on without its end and without the list of contents that it may have, cut where contents begin, and
 * lists what is in it.
 */
export function createSplitter(
  sink: PieceSink,
  entries: TocEntry[],
): { push(chunk: Buffer): void; end(): void } {
  let member: TarMember | undefined;
  const parser = createTarParser({
    member(found) {
      member = found;
    },
    data: () => undefined,
    memberEnd: () => undefined,
  });
  /** Blocks of the headers of the next entry. */
  let headers: Buffer[] = [];
  let partial: Buffer = Buffer.alloc(0);
  let body: Body | undefined;
  let zeroBlocks = 0;

  function onBlock(block: Buffer): void {
    const isEnd = headers.length === 0 && isZeroBlock(block);
    parser.push(block);
    if (isEnd) {
      zeroBlocks++;
      return;
    }
    headers.push(block);
    if (member === undefined) return;
    const isList = bareName(member.name.toString()) === TOC_NAME;
    if (!isList) for (const bytes of headers) sink.add(bytes);
    body = isList ? leftOut(member) : createBody(member, sink, entries);
    member = undefined;
    headers = [];
  }

  function takeBlock(chunk: Buffer, at: number): number {
    const count = Math.min(BLOCK - partial.length, chunk.length - at);
    const bytes = chunk.subarray(at, at + count);
    const block = partial.length === 0 ? bytes : Buffer.concat([partial, bytes]);
    partial = block.length < BLOCK ? block : Buffer.alloc(0);
    if (block.length === BLOCK) onBlock(block);
    return count;
  }

  return {
    push(chunk) {
      // What follows two zero blocks is no part of an archive.
      for (let at = 0; at < chunk.length && zeroBlocks < 2; ) {
        if (body === undefined || body.left() === 0) {
          at += takeBlock(chunk, at);
          continue;
        }
        const bytes = chunk.subarray(at, at + body.left());
        parser.push(bytes);
        body.take(bytes);
        at += bytes.length;
      }
    },
    end: () => parser.end(),
  };
}

/** The content of one entry and what fills its last block. */
interface Body {
  /** Bytes to come up to the next cut. */
  left(): number;
  /** No more than are left. */
  take(bytes: Buffer): void;
}

function leftOut({ size }: TarMember): Body {
  let left = padded(size);
  return {
    left: () => left,
    take(bytes) {
      left -= bytes.length;
    },
  };
}

function createBody(member: TarMember, sink: PieceSink, entries: TocEntry[]): Body {
  const first = entryOf(member);
  entries.push(first);
  const { size } = member;
  const whole = createHash('sha256');
  let piece: { readonly entry: TocEntry; readonly end: number; readonly digest: Hash } | undefined;
  let at = 0;

  function begin(): void {
    const entry = at === 0 ? first : { name: first.name, type: 'chunk' as const, chunkOffset: at };
    if (at > 0) entries.push(entry);
    const end = Math.min(at + CHUNK_BYTES, size);
    if (end < size) entry.chunkSize = end - at;
    sink.cut(entry);
    piece = { entry, end, digest: createHash('sha256') };
  }

  function finish(): void {
    if (piece === undefined) return;
    piece.entry.chunkDigest = `sha256:${piece.digest.digest('hex')}`;
    piece = undefined;
    if (at < size) begin();
    else first.digest = `sha256:${whole.digest('hex')}`;
  }

  if (size > 0) begin();
  else if (first.type === 'reg') first.digest = digestBytes('');
  return {
    left: () => (piece === undefined ? padded(size) : piece.end) - at,
    take(bytes) {
      sink.add(bytes);
      at += bytes.length;
      if (piece === undefined) return;
      piece.digest.update(bytes);
      whole.update(bytes);
      if (at === piece.end) finish();
    },
  };
}

function entryOf({ name, linkName, flag, ...facts }: TarMember): TocEntry {
  const { mode, uid, gid, size, devMajor, devMinor, xattrs } = facts;
  const type = tocType(flag);
  const modtime = timeOf(facts.mtimeSec);
  return {
    name: decodeName(name),
    type,
    ...(size > 0 ? { size } : {}),
    ...(modtime === undefined ? {} : { modtime }),
    ...(type === 'symlink' || type === 'hardlink' ? { linkName: decodeName(linkName) } : {}),
    ...{ mode, uid, gid },
    ...(type === 'char' || type === 'block' ? { devMajor, devMinor } : {}),
    ...(xattrs.size === 0 ? {} : { xattrs: attributesOf(xattrs) }),
  };
}

/** RFC 3339 has years of four digits. Readers take an absent time for an unknown one, so 1970 is written too. */
function timeOf(seconds: number): string | undefined {
  const isShort = seconds > -62_167_219_200 && seconds < 253_402_300_800;
  return isShort ? new Date(seconds * 1000).toISOString().replace('.000Z', 'Z') : undefined;
}

function attributesOf(xattrs: TarMember['xattrs']): Record<string, string> {
  return Object.fromEntries([...xattrs].map(([key, value]) => [key, value.toString('base64')]));
}
