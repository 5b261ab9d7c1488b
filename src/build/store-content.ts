import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { LayerOrigin } from '../cache/types.ts';
import { OcibuildError } from '../errors/error.ts';
import { formatPlatform } from '../image/platform.ts';
import { parseReference } from '../image/reference.ts';
import type { Descriptor } from '../image/types.ts';
import type { ContentSource } from '../transfer/types.ts';
import type { Engine } from './engine.ts';
import { createBlobFetcher } from './inputs/fetch-blob.ts';

const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/** The store as the source of a transfer. A base layer that was never needed here is fetched only when its bytes must
 * move: a registry that has it in another repository mounts it. */
export function storeContent(engine: Engine): ContentSource {
  const fetchBlob = createBlobFetcher({
    content: engine.content,
    registry: engine.registry,
    onProgress: () => undefined,
  });
  const originOf = ({ digest }: Descriptor): LayerOrigin | undefined =>
    engine.rows.list().find((row) => row.blobDigest === digest && row.origin !== undefined)?.origin as
      | LayerOrigin
      | undefined;
  return {
    async readBytes(descriptor) {
      if (engine.content.stat(descriptor.digest) !== undefined) {
        return engine.content.readBytes(descriptor.digest, MAX_DOCUMENT_BYTES);
      }
      const { platform, digest } = descriptor;
      const shown = platform === undefined ? `"${digest}"` : `for ${formatPlatform(platform)}`;
      throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find the image ${shown} in the store`, {
        details: { digest },
        hint: 'pull the image whole with `ocibuild pull --all-platforms`, or choose one platform with --platform',
      });
    },
    blob(descriptor, signal) {
      const { digest, size } = descriptor;
      return {
        async open(offset, length) {
          if (engine.content.stat(digest) !== size) {
            const origin = originOf(descriptor);
            if (origin === undefined) {
              throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find "${digest}" in the store`, {
                details: { digest },
                hint: 'build or pull the image again',
              });
            }
            await fetchBlob(origin, descriptor, signal);
          }
          if (length === 0) return Readable.from([]);
          return createReadStream(engine.content.path(digest), { start: offset, end: offset + length - 1 });
        },
        mountFrom(registry) {
          const origin = originOf(descriptor);
          if (origin?.type !== 'registry') return undefined;
          const from = parseReference(origin.name);
          return from.registry === registry ? from.repository : undefined;
        },
      };
    },
  };
}
