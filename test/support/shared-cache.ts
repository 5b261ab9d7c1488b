/** A cache with blobs that are in memory, for places that keep caches. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Descriptor, Digest } from '../../src/image/types.ts';
import type { CacheConfig, CacheWriteOptions } from '../../src/remotecache/types.ts';
import type { ContentSource } from '../../src/transfer/types.ts';

export interface MadeCache {
  readonly config: CacheConfig;
  readonly blobs: ReadonlyMap<Digest, Buffer>;
  /** Digests that were opened. */
  readonly opened: Digest[];
  writing(signal?: AbortSignal): CacheWriteOptions;
}

/** A cache of one step whose layers are these blobs; `damaged` ones have other bytes than their digest says. */
export function makeCache(contents: readonly Buffer[], damaged: readonly number[] = []): MadeCache {
  const opened: Digest[] = [];
  const blobs = new Map<Digest, Buffer>();
  const layers = contents.map((bytes, at) => {
    const digest: Digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    blobs.set(digest, damaged.includes(at) ? Buffer.alloc(bytes.length, 1) : bytes);
    const id = `run-${createHash('sha256').update(`layer ${at}`).digest('hex')}`;
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
    return { id, diffId: digest, descriptor: { mediaType, digest, size: bytes.length } };
  });
  const key: Digest = `sha256:${'a'.repeat(64)}`;
  const record = {
    key,
    kind: 'definition',
    layers: layers.map(({ id }) => id),
    name: 'RUN x',
    ingredients: [],
  } as const;
  const from: ContentSource = {
    readBytes: async ({ digest }) => blobs.get(digest) as Buffer,
    blob: ({ digest }) => ({
      open(offset, length) {
        opened.push(digest);
        return Readable.from(slices((blobs.get(digest) as Buffer).subarray(offset, offset + length)), {
          objectMode: false,
        });
      },
      mountFrom: () => undefined,
    }),
  };
  return {
    config: { salt: 'test', layers: [...layers].sort((a, b) => (a.id < b.id ? -1 : 1)), records: [record] },
    ...{ blobs, opened },
    writing: (signal = new AbortController().signal) => ({ from, signal, onProgress: () => {} }),
  };
}

/** Bytes that are the same in every run. */
export function someBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed + 1;
  for (let at = 0; at < length; at++) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    bytes[at] = state >> 16;
  }
  return bytes;
}

export async function readWhole(stream: Promise<Readable> | Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function firstBlob({ config }: MadeCache): Descriptor {
  const [layer] = config.layers;
  if (layer === undefined) throw new RangeError('the cache is empty');
  return layer.descriptor;
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
}
