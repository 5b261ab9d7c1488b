import { createHash, hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import type { Digest } from '../image/types.ts';
import { type BlobWriter, createBlobWriter } from './blob-writer.ts';
import { type Chunk, chunkKey, entrySize, planChunks } from './compression/chunk-plan.ts';
import { type Compressor, createCompressor } from './compression/compressor.ts';
import { createMemberSource, type MemberSource } from './compression/member-source.ts';
import { type ContentReader, openContent } from './content-reader.ts';
import { createRunningDigest, type RunningDigest } from './running-digest.ts';
import { BLOCK } from './tar/tar-header.ts';
import { sortTree } from './tree/tree.ts';
import type { ChunkIndex, PackedLayer, PackOptions, Tree, TreeEntry } from './types.ts';

type IndexedChunk = ChunkIndex['chunks'][number];

/** Below this a layer is read again in less time than koffi takes to load (10 ms). */
const STATES_FROM_BYTES = 16 << 20;
/** Members that are written at a time. */
const WRITES = 2;

/**
 * Writes a layer's blob: canonical tar, cut into chunks that are compressed side by side as independent members. The
 * same tree gives the same bytes, whether or not members of previous blobs could be copied. Every file is read once
 * at most. Nothing is left at `dest` on failure.
 *
 * @throws CONTEXT_CHANGED, CONTEXT_UNREADABLE, LAYER_INVALID, DISK_FULL, CANCELLED
 * @see image-spec layer.md
 */
export async function packLayer(tree: Tree, options: PackOptions): Promise<PackedLayer> {
  throwIfAborted(options.signal);
  const sorted = sortTree(tree);
  checkShape(sorted);
  const compressor = createCompressor(options.compression, options.level);
  const states = compressor.codec !== undefined && totalSize(sorted) >= STATES_FROM_BYTES;
  const blob = createBlobWriter(options.dest, { aside: states });
  const members = createMemberSource(compressor.codec, options.previous ?? []);
  const packer = createPacker(sorted, {
    options,
    compressor,
    blob,
    members,
    tarDigest: createRunningDigest({ states }),
  });
  let done = false;
  try {
    const packed = await packer.run();
    done = true;
    return packed;
  } finally {
    await packer.stop();
    members.close();
    if (!done) await blob.discard();
  }
}

interface Deps {
  readonly options: PackOptions;
  readonly compressor: Compressor;
  readonly blob: BlobWriter;
  readonly members: MemberSource;
  readonly tarDigest: RunningDigest;
}

interface Slot {
  readonly member: Promise<Buffer>;
  /** Known of a member that is copied. */
  readonly crc: number | undefined;
  readonly key: string | undefined;
  /** Bytes of tar. */
  readonly size: number;
  /** Of the diffID, behind the chunk. */
  readonly state: Promise<string | undefined>;
  /** Go back to the pool once the member is written. */
  readonly buffers: readonly Buffer[];
}

function createPacker(
  tree: Tree,
  { options, compressor, blob, members, tarDigest }: Deps,
): { run(): Promise<PackedLayer>; stop(): Promise<void> } {
  const digests: (Digest | undefined)[] = tree.map((entry) => entry.digest);
  const queue: Slot[] = [];
  const writing: Promise<void>[] = [];
  const pool: Buffer[] = [];
  const rows: IndexedChunk[] = [];
  const unkeyed: { readonly row: number; readonly chunk: Chunk }[] = [];
  let large: { reader: ContentReader; digest: ReturnType<typeof createHash> | undefined } | undefined;
  let tarSize = 0;
  let blobSize = 0;
  let skipped: string | undefined;

  async function writeFirst(): Promise<void> {
    const slot = queue.shift();
    if (slot === undefined) return;
    const [member, state] = await Promise.all([slot.member, slot.state]);
    const { key = '', size, crc = crc32(member) } = slot;
    const at = { offset: blobSize, compressedSize: member.length };
    rows.push({ key, ...at, size, crc, ...(state === undefined ? {} : { state }) });
    blobSize += member.length;
    const written = blob.write(member).then(() => void pool.push(...slot.buffers));
    // Waited for in order, as members are.
    written.catch(() => undefined);
    writing.push(written);
    options.onProgress?.(tarSize);
    while (writing.length > WRITES) await writing.shift();
  }

  function add(chunk: Chunk): void {
    const buffers: Buffer[] = [];
    const take = (size: number): Buffer => {
      const buffer = pool.pop() ?? Buffer.allocUnsafeSlow(compressor.limits.max);
      // What hardly shrinks may be larger than the chunk.
      if (size > buffer.length) return Buffer.allocUnsafeSlow(size);
      buffers.push(buffer);
      return buffer.subarray(0, size);
    };
    const key = chunkKey(chunk, (index) => digests[index]);
    const { size } = chunk;
    const unchanged = members.next(key, take);
    const member = unchanged && Promise.resolve(unchanged.member);
    tarSize += size;
    if (member !== undefined && unchanged?.state !== undefined && tarDigest.hasStates) {
      skipped = unchanged.state;
      queue.push(slotOf({ member, crc: unchanged.crc, key, size, state: Promise.resolve(skipped), buffers }));
      return;
    }
    if (skipped !== undefined) tarDigest.resume(skipped, tarSize - size);
    skipped = undefined;
    const bytes = take(size);
    fill(chunk, bytes);
    const state = tarDigest.update(bytes);
    if (key === undefined) unkeyed.push({ row: rows.length + queue.length, chunk });
    const about = { crc: unchanged?.crc, key, size, state, buffers };
    queue.push(slotOf({ member: member ?? compressor.compress(bytes), ...about }));
  }

  function fill(chunk: Chunk, out: Buffer): void {
    let at = 0;
    const whole = chunk.start === 0 && chunk.complete;
    for (const [i, entry] of chunk.entries.entries()) {
      const header = chunk.headers[i] as Buffer;
      const from = chunk.start;
      const to = whole ? entrySize(entry, header) : from + chunk.size;
      if (from < header.length) header.copy(out, at, from, to);
      const position = Math.max(from - header.length, 0);
      const end = entry.type === 'file' ? Math.min(to - header.length, entry.size) : 0;
      const length = Math.max(end - position, 0);
      const bodyAt = at + Math.max(header.length - from, 0);
      if (entry.type === 'file') {
        const target = { out, at: bodyAt, length, position };
        if (whole) readWhole(entry, chunk.first + i, target);
        else readPiece(entry, chunk, target);
      }
      at += to - from;
      out.fill(0, bodyAt + length, at);
    }
  }

  function readWhole(entry: TreeEntry, index: number, { out, at }: Target): void {
    // An empty file is opened too: it may have grown since.
    const reader = openContent(entry, options.content(entry));
    let open = true;
    try {
      reader.read(out, { at, length: entry.size, position: 0 });
      open = false;
      reader.finish();
    } finally {
      if (open) reader.abandon();
    }
    digests[index] ??= `sha256:${hash('sha256', out.subarray(at, at + entry.size), 'hex')}`;
  }

  function readPiece(entry: TreeEntry, chunk: Chunk, target: Target): void {
    large ??= {
      reader: openContent(entry, options.content(entry)),
      digest: digests[chunk.first] === undefined ? createHash('sha256') : undefined,
    };
    const { out, at, length, position } = target;
    large.reader.read(out, { at, length, position });
    large.digest?.update(out.subarray(at, at + length));
    if (!chunk.complete) return;
    const { reader, digest } = large;
    large = undefined;
    reader.finish();
    if (digest !== undefined) digests[chunk.first] = `sha256:${digest.digest('hex')}`;
  }

  function addEnd(): void {
    const zeros = Buffer.alloc(2 * BLOCK);
    const key = hash('sha256', zeros, 'hex');
    if (skipped !== undefined) tarDigest.resume(skipped, tarSize);
    const state = tarDigest.update(zeros).then(() => undefined);
    const size = zeros.length;
    tarSize += size;
    queue.push(slotOf({ member: compressor.compress(zeros), crc: undefined, key, size, state, buffers: [] }));
  }

  function index(codec: string): ChunkIndex {
    for (const { row, chunk } of unkeyed) {
      const key = chunkKey(chunk, (i) => digests[i]) ?? '';
      rows[row] = { ...(rows[row] as IndexedChunk), key };
    }
    return { codec, chunks: rows };
  }

  return {
    async run() {
      for (const chunk of planChunks(tree, compressor.limits)) {
        add(chunk);
        while (queue.length >= compressor.inFlight) await writeFirst();
        // Other threads get their next piece in between.
        await setImmediate();
        throwIfAborted(options.signal);
      }
      addEnd();
      while (queue.length > 0) await writeFirst();
      await Promise.all(writing);
      const { codec, mediaType } = compressor;
      return {
        diffId: await tarDigest.digest(),
        ...(await blob.finish()),
        tarSize,
        mediaType,
        tree: tree.map((entry, i) => withDigest(entry, digests[i])),
        ...(codec === undefined ? {} : { index: index(codec) }),
      };
    },
    async stop() {
      large?.reader.abandon();
      // Other threads still read from buffers of chunks that nobody will write.
      await Promise.allSettled(queue.flatMap(({ member, state }) => [member, state]));
    },
  };
}

interface Target {
  readonly out: Buffer;
  readonly at: number;
  readonly length: number;
  readonly position: number;
}

function slotOf(slot: Slot): Slot {
  // Waited for in order; a failure of a later one must not count as unhandled until its turn.
  for (const promise of [slot.member, slot.state]) promise.catch(() => undefined);
  return slot;
}

function withDigest(entry: TreeEntry, digest: Digest | undefined): TreeEntry {
  return entry.digest === digest || digest === undefined ? entry : { ...entry, digest };
}

function totalSize(tree: Tree): number {
  return tree.reduce((sum, entry) => sum + BLOCK + entry.size, 0);
}

/** image-spec layer.md: no two entries have the same path, and a hard link's file comes before it. */
function checkShape(tree: Tree): void {
  const files = new Set<string>();
  for (const { type, path, link = '' } of tree) {
    if (type === 'file' || type === 'symlink' || type === 'fifo' || type === 'char' || type === 'block') {
      files.add(path);
    } else if (type === 'hardlink' && !files.has(link)) {
      throw new OcibuildError('INTERNAL', `Cannot pack hard link "${path}": "${link}" is not in the layer`, {
        details: { path, link },
      });
    }
  }
  for (let i = 1; i < tree.length; i++) {
    const [a, b] = [tree[i - 1] as TreeEntry, tree[i] as TreeEntry];
    if (a.path !== b.path || (a.type === 'whiteout') !== (b.type === 'whiteout')) continue;
    if ((a.type === 'opaque') !== (b.type === 'opaque')) continue;
    throw new OcibuildError('INTERNAL', `Cannot pack a layer that has two entries for "${a.path}"`, {
      details: { path: a.path },
    });
  }
}
