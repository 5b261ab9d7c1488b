import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { storeError } from '../../cache/store-error.ts';
import type { ContentStore, LayerOrigin } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import { openLayout } from '../../image/layout.ts';
import { parseReference } from '../../image/reference.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import type { Resolver } from '../../registry/types.ts';
import { errnoOf } from '../../util/atomic-fs.ts';

export interface BlobFetcherDeps {
  readonly content: ContentStore;
  readonly registry: () => Promise<Resolver>;
  readonly onProgress: (descriptor: Descriptor, bytes: number) => void;
}

/** Brings a layer's blob from where its image came from into the store; digest and size are checked on the way. */
export function createBlobFetcher(
  deps: BlobFetcherDeps,
): (origin: LayerOrigin, descriptor: Descriptor, signal: AbortSignal) => Promise<void> {
  async function chunks(
    origin: LayerOrigin,
    descriptor: Descriptor,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    if (origin.type === 'layout') {
      const layout = await openLayout(origin.dir);
      return readChunks(layout.blobPath(descriptor.digest));
    }
    const registry = await deps.registry();
    return registry.fetcher(parseReference(origin.name)).fetchBlob(descriptor, { signal });
  }

  return async (origin, descriptor, signal) => {
    const { digest, size } = descriptor;
    const temp = deps.content.tempFile();
    const hash = createHash('sha256');
    let bytes = 0;
    let file: FileHandle | undefined;
    try {
      file = await open(temp, 'wx');
      for await (const chunk of await chunks(origin, descriptor, signal)) {
        throwIfAborted(signal);
        bytes += chunk.length;
        if (bytes > size)
          throw mismatch(origin, 'BLOB_SIZE_MISMATCH', { digest, got: `more than ${size} B` });
        hash.update(chunk);
        await file.writeFile(chunk);
        deps.onProgress(descriptor, bytes);
      }
      const actual = `sha256:${hash.digest('hex')}`;
      if (bytes !== size) {
        throw mismatch(origin, 'BLOB_SIZE_MISMATCH', { digest, got: `${bytes} B instead of ${size} B` });
      }
      if (actual !== digest) {
        throw mismatch(origin, 'BLOB_DIGEST_MISMATCH', { digest, got: `the digest "${actual}"` });
      }
    } catch (error) {
      rmSync(temp, { force: true });
      throwIfAborted(signal);
      if (isOcibuildError(error)) throw error;
      if (errnoOf(error) === 'ENOSPC') throw storeError(error, temp);
      const where = origin.type === 'layout' ? `layout "${origin.dir}"` : `"${origin.name}"`;
      throw new OcibuildError('LAYER_UNAVAILABLE', `Cannot fetch the layer "${digest}" from ${where}`, {
        cause: error,
        details: { digest },
      });
    } finally {
      await file?.close();
    }
    deps.content.ingest(temp, digest, size);
  };
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

/** A registry that sends other bytes than it promised is at fault itself; a layout's file is just damaged. */
function mismatch(
  { type }: LayerOrigin,
  code: 'BLOB_SIZE_MISMATCH' | 'BLOB_DIGEST_MISMATCH',
  { digest, got }: { digest: Digest; got: string },
): OcibuildError {
  const message = `Cannot use the layer "${digest}": what came has ${got}`;
  const details = { digest };
  if (type === 'layout') return new OcibuildError(code, message, { details });
  return new OcibuildError('REGISTRY_RESPONSE_INVALID', message, {
    details,
    hint: 'try again; when it stays, the registry or a proxy before it holds a damaged layer',
  });
}
