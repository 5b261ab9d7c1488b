import { createHash, hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
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

const YIELD_MS = 30;
/** Below this a layer is read again in less time than koffi takes to load (10 ms). */
const STATES_FROM_BYTES = 16 << 20;

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
  const blob = createBlobWriter(options.dest);
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
    blob.close();
    done = true;
    return packed;
  } finally {
    await packer.stop();
    members.close();
    if (!done) blob.discard();
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
  /** Goes back to the pool once the member is written. */
  readonly buffer: Buffer | undefined;
  readonly chunk: { key: string | undefined; size: number; state: string | undefined };
}

function createPacker(
  tree: Tree,
  { options, compressor, blob, members, tarDigest }: Deps,
): { run(): Promise<PackedLayer>; stop(): Promise<void> } {
  const digests: (Digest | undefined)[] = tree.map((entry) => entry.digest);
  const queue: Slot[] = [];
  const pool: Buffer[] = [];
  const written: { slot: Slot['chunk']; offset: number; compressedSize: number; crc: number }[] = [];
  const unkeyed: { slot: Slot['chunk']; chunk: Chunk }[] = [];
  const resumable = tarDigest.state() !== undefined;
  let large: { reader: ContentReader; digest: ReturnType<typeof createHash> | undefined } | undefined;
  let tarSize = 0;
  let skipped: string | undefined;
  let since = performance.now();

  async function writeFirst(): Promise<void> {
    const slot = queue.shift();
    if (slot === undefined) return;
    const member = await slot.member;
    written.push({ slot: slot.chunk, ...blob.write(member) });
    if (slot.buffer !== undefined) pool.push(slot.buffer);
    options.onProgress?.(tarSize);
  }

  async function add(chunk: Chunk): Promise<void> {
    const key = chunkKey(chunk, (index) => digests[index]);
    const unchanged = members.next(key);
    tarSize += chunk.size;
    if (unchanged?.state !== undefined && resumable && unchanged.sincePrefix) {
      skipped = unchanged.state;
      queue.push(slotOf(Promise.resolve(unchanged.member), { key, size: chunk.size, state: skipped }));
      return;
    }
    if (skipped !== undefined) tarDigest.resume(skipped, tarSize - chunk.size);
    skipped = undefined;
    const buffer = pool.pop() ?? Buffer.allocUnsafeSlow(compressor.limits.max);
    const bytes = buffer.subarray(0, chunk.size);
    fill(chunk, bytes);
    tarDigest.update(bytes);
    const slot = { key, size: chunk.size, state: tarDigest.state() };
    if (key === undefined) unkeyed.push({ slot, chunk });
    if (unchanged === undefined) queue.push(slotOf(compressor.compress(bytes), slot, buffer));
    else {
      pool.push(buffer);
      queue.push(slotOf(Promise.resolve(unchanged.member), slot));
    }
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
    tarDigest.update(zeros);
    tarSize += zeros.length;
    queue.push(slotOf(compressor.compress(zeros), { key, size: zeros.length, state: undefined }));
  }

  function index(): ChunkIndex | undefined {
    if (compressor.codec === undefined) return undefined;
    for (const { slot, chunk } of unkeyed) slot.key = chunkKey(chunk, (i) => digests[i]);
    const chunks = written.map(
      ({ slot, offset, compressedSize, crc }): IndexedChunk => ({
        key: slot.key ?? '',
        offset,
        compressedSize,
        size: slot.size,
        crc,
        ...(slot.state === undefined ? {} : { state: slot.state }),
      }),
    );
    return { codec: compressor.codec, chunks };
  }

  return {
    async run() {
      for (const chunk of planChunks(tree, compressor.limits)) {
        await add(chunk);
        while (queue.length >= compressor.inFlight) await writeFirst();
        if (performance.now() - since < YIELD_MS) continue;
        await setImmediate();
        throwIfAborted(options.signal);
        since = performance.now();
      }
      addEnd();
      while (queue.length > 0) await writeFirst();
      const members = index();
      return {
        diffId: tarDigest.digest(),
        digest: blob.digest(),
        size: blob.size(),
        tarSize,
        mediaType: compressor.mediaType,
        tree: tree.map((entry, i) => withDigest(entry, digests[i])),
        ...(members === undefined ? {} : { index: members }),
      };
    },
    async stop() {
      large?.reader.abandon();
      // The pool still reads from buffers of members that nobody will write.
      await Promise.allSettled(queue.map((slot) => slot.member));
    },
  };
}

interface Target {
  readonly out: Buffer;
  readonly at: number;
  readonly length: number;
  readonly position: number;
}

function slotOf(member: Promise<Buffer>, chunk: Slot['chunk'], buffer?: Buffer): Slot {
  // Waited for in order; a failure of a later one must not count as unhandled until its turn.
  member.catch(() => undefined);
  return { member, chunk, buffer };
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
