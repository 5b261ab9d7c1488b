import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ContentStore, LayerOrigin } from '../cache/types.ts';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { openLayout } from '../image/layout.ts';
import { parseReference } from '../image/reference.ts';
import type { Descriptor } from '../image/types.ts';
import type { Resolver } from '../registry/types.ts';

export interface BlobFetcherDeps {
  readonly content: ContentStore;
  readonly registry: () => Promise<Resolver>;
  readonly onProgress: (descriptor: Descriptor, bytes: number) => void;
}

/** Brings a layer's blob from where its image came from into the store; digest and size are checked on the way. */
export function createBlobFetcher(
  deps: BlobFetcherDeps,
): (origin: LayerOrigin, descriptor: Descriptor, signal: AbortSignal) => Promise<void> {
  async function open(origin: LayerOrigin, descriptor: Descriptor, signal: AbortSignal): Promise<Readable> {
    if (origin.type === 'layout') {
      const layout = await openLayout(origin.dir);
      return createReadStream(layout.blobPath(descriptor.digest), { highWaterMark: 1 << 20 });
    }
    const registry = await deps.registry();
    return registry.fetcher(parseReference(origin.name)).fetchBlob(descriptor, { signal });
  }

  return async (origin, descriptor, signal) => {
    const { digest, size } = descriptor;
    const temp = deps.content.tempFile();
    const hash = createHash('sha256');
    let bytes = 0;
    const verify = new Transform({
      transform(chunk: Buffer, _, done) {
        hash.update(chunk);
        bytes += chunk.length;
        deps.onProgress(descriptor, bytes);
        done(bytes > size ? mismatch('BLOB_SIZE_MISMATCH', descriptor, `more than ${size} B`) : null, chunk);
      },
      flush(done) {
        const actual = `sha256:${hash.digest('hex')}`;
        if (bytes !== size)
          done(mismatch('BLOB_SIZE_MISMATCH', descriptor, `${bytes} B instead of ${size} B`));
        else if (actual !== digest)
          done(mismatch('BLOB_DIGEST_MISMATCH', descriptor, `the digest "${actual}"`));
        else done();
      },
    });
    try {
      await pipeline(
        await open(origin, descriptor, signal),
        verify,
        createWriteStream(temp, { flags: 'wx' }),
        {
          signal,
        },
      );
    } catch (error) {
      rmSync(temp, { force: true });
      throwIfAborted(signal);
      if (isOcibuildError(error)) throw error;
      const where = origin.type === 'layout' ? `layout "${origin.dir}"` : `"${origin.name}"`;
      throw new OcibuildError('LAYER_UNAVAILABLE', `Cannot fetch the layer "${digest}" from ${where}`, {
        cause: error,
        details: { digest },
      });
    }
    deps.content.ingest(temp, digest, size);
  };
}

function mismatch(
  code: 'BLOB_SIZE_MISMATCH' | 'BLOB_DIGEST_MISMATCH',
  { digest }: Descriptor,
  got: string,
): OcibuildError {
  return new OcibuildError(code, `Cannot use the layer "${digest}": what came has ${got}`, {
    details: { digest },
  });
}
