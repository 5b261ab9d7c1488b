import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { storeError } from '../../cache/store-error.ts';
import type { ContentStore, FetchBlob, LayerOrigin } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import type { Growth } from '../../layer/growing-file.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { type BatchWriter, createBatchWriter } from '../../util/batch-writer.ts';
import { createCacheServices } from '../cache/services.ts';
import type { CacheFrom, CacheTo } from '../cache/types.ts';
import { type BlobRegistry, originName, readOrigin } from './origins.ts';

export interface BlobFetcherDeps {
  readonly content: ContentStore;
  readonly registry: () => Promise<BlobRegistry>;
  /** Credentials and endpoints that no origin names. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The caches that the build was told of, for the same. */
  readonly caches?: readonly (CacheFrom | CacheTo)[];
  readonly onProgress: (descriptor: Descriptor, bytes: number) => void;
}

interface Arrival {
  readonly temp: string;
  readonly writer: BatchWriter;
  tell(growth: Partial<Growth>): void;
  readonly signal: AbortSignal;
}

/** Gathered before they are written; several downloads run at a time. */
const BATCH_BYTES = 512 << 10;

/** Brings a layer's blob from where its image came from into the store; digest and size are checked on the way. */
export function createBlobFetcher(deps: BlobFetcherDeps): FetchBlob {
  const { registry, env = {}, caches = [] } = deps;
  const services = createCacheServices({ env, caches });

  async function fetch(
    origin: LayerOrigin,
    descriptor: Descriptor,
    { temp, writer, tell, signal }: Arrival,
  ): Promise<void> {
    const { digest, size } = descriptor;
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      for await (const chunk of await readOrigin(origin, descriptor, { registry, services, signal })) {
        throwIfAborted(signal);
        bytes += chunk.length;
        if (bytes > size)
          throw mismatch(origin, 'BLOB_SIZE_MISMATCH', { digest, got: `more than ${size} B` });
        hash.update(chunk);
        await writer.write(chunk);
      }
      await writer.flush();
      const actual = `sha256:${hash.digest('hex')}`;
      if (bytes !== size) {
        throw mismatch(origin, 'BLOB_SIZE_MISMATCH', { digest, got: `${bytes} B instead of ${size} B` });
      }
      if (actual !== digest) {
        throw mismatch(origin, 'BLOB_DIGEST_MISMATCH', { digest, got: `the digest "${actual}"` });
      }
      await writer.close();
      deps.content.ingest(temp, digest, size);
    } catch (error) {
      await writer.close();
      rmSync(temp, { force: true });
      throwIfAborted(signal);
      if (isOcibuildError(error)) throw error;
      if (errnoOf(error) === 'ENOSPC') throw storeError(error, temp);
      throw new OcibuildError(
        'LAYER_UNAVAILABLE',
        `Cannot fetch the layer "${digest}" from ${originName(origin)}`,
        {
          cause: error,
          details: { digest },
        },
      );
    } finally {
      tell({ ended: true });
    }
  }

  return (origin, descriptor, signal) => {
    const temp = deps.content.tempFile();
    let growth: Growth = { bytes: 0, ended: false };
    const watchers = new Set<(growth: Growth) => void>();
    const tell = (next: Partial<Growth>): void => {
      growth = { ...growth, ...next };
      for (const watcher of watchers) watcher(growth);
    };
    const writer = openWriter(temp, {
      // A layout's chunks come through one buffer.
      batchBytes: origin.type === 'layout' ? 0 : BATCH_BYTES,
      onWritten(bytes) {
        tell({ bytes });
        deps.onProgress(descriptor, bytes);
      },
    });
    const done = fetch(origin, descriptor, { temp, writer, tell, signal });
    done.catch(() => undefined);
    return {
      done,
      open() {
        // The file moves into the store before `done` tells it.
        const path = existsSync(temp) ? temp : deps.content.path(descriptor.digest);
        const fd = openSync(path, 'r');
        return {
          fd,
          watch(listener) {
            watchers.add(listener);
            listener(growth);
            return () => watchers.delete(listener);
          },
          [Symbol.dispose]: () => closeSync(fd),
        };
      },
    };
  };
}

function openWriter(path: string, options: Parameters<typeof createBatchWriter>[1]): BatchWriter {
  try {
    return createBatchWriter(path, options);
  } catch (error) {
    throw storeError(error, path);
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
