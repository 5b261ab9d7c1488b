import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip as gzipCallback, type ZlibOptions } from 'node:zlib';
import { digestBytes } from '../../image/digest.ts';
import type { Digest } from '../../image/types.ts';
import { BLOCK, encodeHeader, padded } from '../tar/tar-header.ts';
import { bareName, createSplitter } from './estargz-split.ts';
import { encodeFooter, encodeToc, TOC_NAME, type TocEntry } from './estargz-toc.ts';

export interface EstargzOptions {
  /** 0–9. */
  readonly level: number;
  /** Takes the members of the blob, in order. */
  write(member: Buffer): void | Promise<void>;
}

export interface WrittenEstargz {
  /** Of the tar inside, which differs from the one that was given. */
  readonly diffId: Digest;
  /** Bytes of that tar. */
  readonly tarSize: number;
  readonly tocDigest: Digest;
}

const gzip = promisify<Buffer, ZlibOptions, Buffer>(gzipCallback);
/** Most members are small: as many are compressed at a time as are worth a few large ones. */
const IN_FLIGHT_BYTES = 16 << 20;
const IN_FLIGHT_MEMBERS = 256;
/** Say up to where an archive is read ahead, and that nothing is. @see estargz.md §Landmark Files */
const PREFETCH = '.prefetch.landmark';
const NO_PREFETCH = '.no.prefetch.landmark';
const LANDMARK = Buffer.of(0xf);

/**
 * Writes a tar as eStargz: every file's content begins a gzip member of its own, the list of contents is the last
 * entry, a footer says where it is. Headers and contents keep their bytes. Any gzip reader sees an ordinary layer with
 * two more files: the list, and the landmark that says that nothing is to be read ahead.
 * @throws LAYER_INVALID, and what the source throws
 * @see https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md
 */
export async function writeEstargz(
  tar: AsyncIterable<Buffer>,
  { level, write }: EstargzOptions,
): Promise<WrittenEstargz> {
  const out = createMembers(level, write);
  const entries: TocEntry[] = [];
  const splitter = createSplitter(out, entries);
  try {
    for await (const chunk of tar) {
      splitter.push(chunk);
      await out.room();
    }
    splitter.end();
    const hasLandmark = entries.some(({ name }) => [PREFETCH, NO_PREFETCH].includes(bareName(name)));
    if (!hasLandmark) addLandmark(out, entries);
    out.cut();
    const tocOffset = await out.drained();
    const toc = encodeToc(entries);
    out.add(headerOf(TOC_NAME, toc.length));
    out.add(toc);
    out.add(Buffer.alloc(padded(toc.length) - toc.length + 2 * BLOCK));
    out.cut();
    await out.drained();
    await write(encodeFooter(tocOffset));
    return { ...out.tar(), tocDigest: digestBytes(toc) };
  } finally {
    await out.stop();
  }
}

function addLandmark(out: Members, entries: TocEntry[]): void {
  const chunkDigest = digestBytes(LANDMARK);
  const entry: TocEntry = {
    ...{ name: NO_PREFETCH, type: 'reg', size: LANDMARK.length, modtime: '1970-01-01T00:00:00Z' },
    ...{ mode: 0o444, uid: 0, gid: 0, digest: chunkDigest, chunkDigest },
  };
  entries.push(entry);
  out.add(headerOf(NO_PREFETCH, LANDMARK.length));
  out.cut(entry);
  out.add(LANDMARK);
  out.add(Buffer.alloc(BLOCK - LANDMARK.length));
}

function headerOf(path: string, size: number): Buffer {
  return encodeHeader({ path, type: 'file', mode: 0o444, uid: 0, gid: 0, size, mtimeSec: 0 });
}

/** Bytes of tar as gzip members that are made side by side and written in order. */
export interface Members {
  /** The bytes stay untouched by their owner. */
  add(bytes: Buffer): void;
  /** What is added from here on is another member; the entry whose content it begins with is told its place. */
  cut(entry?: TocEntry): void;
  /** Waits while too much is under way. */
  room(): Promise<void>;
  /** Waits for all members that were cut off; gives the size of the blob so far. */
  drained(): Promise<number>;
  tar(): { readonly diffId: Digest; readonly tarSize: number };
  /** Waits for what nobody will write. */
  stop(): Promise<void>;
}

function createMembers(level: number, write: EstargzOptions['write']): Members {
  const queue: { member: Promise<Buffer>; size: number; entry: TocEntry | undefined }[] = [];
  const tarDigest = createHash('sha256');
  let parts: Buffer[] = [];
  let size = 0;
  let tarSize = 0;
  let owner: TocEntry | undefined;
  let inFlight = 0;
  let offset = 0;

  async function writeFirst(): Promise<void> {
    const first = queue.shift();
    if (first === undefined) return;
    const member = await first.member;
    inFlight -= first.size;
    if (first.entry !== undefined) first.entry.offset = offset;
    await write(member);
    offset += member.length;
  }

  return {
    add(bytes) {
      if (bytes.length === 0) return;
      tarDigest.update(bytes);
      parts.push(bytes);
      size += bytes.length;
      tarSize += bytes.length;
    },
    cut(entry) {
      if (size > 0) {
        const member = compress(Buffer.concat(parts, size), level);
        // Waited for in order; a failure of a later one must not count as unhandled until its turn.
        member.catch(() => undefined);
        queue.push({ member, size, entry: owner });
        inFlight += size;
      }
      parts = [];
      size = 0;
      owner = entry;
    },
    async room() {
      while (inFlight > IN_FLIGHT_BYTES || queue.length > IN_FLIGHT_MEMBERS) await writeFirst();
    },
    async drained() {
      while (queue.length > 0) await writeFirst();
      return offset;
    },
    tar: () => ({ diffId: `sha256:${tarDigest.digest('hex')}`, tarSize }),
    async stop() {
      await Promise.allSettled(queue.map(({ member }) => member));
    },
  };
}

async function compress(bytes: Buffer, level: number): Promise<Buffer> {
  const member = await gzip(bytes, { level });
  // RFC 1952: byte 9 names the operating system; 255 is "unknown" and the same everywhere.
  member[9] = 255;
  return member;
}
