import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { LayerOrigin } from '../../cache/types.ts';
import { openLayout } from '../../image/layout.ts';
import { parseReference, type Reference } from '../../image/reference.ts';
import type { Descriptor } from '../../image/types.ts';
import type { Fetcher } from '../../registry/types.ts';
import type { CacheServices } from '../cache/services.ts';

/** The part of a registry's client that downloads. */
export interface BlobRegistry {
  fetcher(ref: Reference): Pick<Fetcher, 'fetchBlob'>;
  readonly fetchExternal: Fetcher['fetchBlob'];
}

/** What origins are read with. */
export interface OriginContext {
  readonly registry: () => Promise<BlobRegistry>;
  /** Services that need credentials which no origin names. */
  readonly services: CacheServices;
  readonly signal: AbortSignal;
}

type ReadOrigin<Origin extends LayerOrigin> = (
  origin: Origin,
  descriptor: Descriptor,
  context: OriginContext,
) => Promise<AsyncIterable<Uint8Array>>;

/** One for each type. */
const READERS: {
  readonly [Type in LayerOrigin['type']]: ReadOrigin<Extract<LayerOrigin, { readonly type: Type }>>;
} = {
  async layout({ dir }, descriptor, { registry, signal }) {
    const path = (await openLayout(dir)).blobPath(descriptor.digest);
    // Copies leave out what only its maker may distribute.
    const isElsewhere = descriptor.urls !== undefined && descriptor.urls.length > 0 && !existsSync(path);
    return isElsewhere ? (await registry()).fetchExternal(descriptor, { signal }) : readChunks(path);
  },
  async registry({ name }, descriptor, { registry, signal }) {
    return (await registry()).fetcher(parseReference(name)).fetchBlob(descriptor, { signal });
  },
  async s3(origin, descriptor, { services, signal }) {
    return (await services.s3())(origin, descriptor, signal);
  },
  async gha(_, descriptor, { services, signal }) {
    return (await services.gha())(descriptor, signal);
  },
};

/** The bytes of a layer's blob; size and digest are for the caller to check. */
export function readOrigin(
  origin: LayerOrigin,
  descriptor: Descriptor,
  context: OriginContext,
): Promise<AsyncIterable<Uint8Array>> {
  const read = READERS[origin.type] as ReadOrigin<LayerOrigin>;
  return read(origin, descriptor, context);
}

/** For messages. */
export function originName(origin: LayerOrigin): string {
  switch (origin.type) {
    case 'layout':
      return `layout "${origin.dir}"`;
    case 'registry':
      return `"${origin.name}"`;
    case 's3':
      return `bucket "${origin.bucket.name}"`;
    case 'gha':
      return 'the GitHub cache';
  }
}

const CHUNK_BYTES = 1 << 20;

/** Chunks of a file through one buffer: each is gone when the next is asked for, so a large layer makes no garbage. */
async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
