import { closeSync, openSync, rmSync } from 'node:fs';
import { storeError } from '../../cache/store-error.ts';
import type { LayerOrigin } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { fileSink } from '../../exporter/target.ts';
import { isImageConfig, MAX_DOCUMENT_BYTES, parseConfig, parseDocument } from '../../image/manifest.ts';
import { formatPlatform } from '../../image/platform.ts';
import { parseReference } from '../../image/reference.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import { openPart } from '../../transfer/file-part.ts';
import { moveBlob } from '../../transfer/move-blob.ts';
import type { ContentSource, ImageTarget } from '../../transfer/types.ts';
import type { Engine } from '../engine.ts';

/**
 * The store as the source of a transfer. A layer that was never needed here is fetched only when its bytes must move: a
 * registry that has it in another repository mounts it.
 * @param origins places of blobs that are no layers
 */
export function storeContent(
  engine: Engine,
  origins: ReadonlyMap<Digest, LayerOrigin> = new Map(),
): ContentSource {
  const originOf = ({ digest }: Descriptor): LayerOrigin | undefined =>
    origins.get(digest) ??
    (engine.rows.byBlob(digest).find(({ origin }) => origin !== undefined)?.origin as
      | LayerOrigin
      | undefined);
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
        ...(engine.content.stat(digest) === size ? { file: engine.content.path(digest) } : {}),
        async open(offset, length) {
          if (engine.content.stat(digest) !== size) {
            const origin = originOf(descriptor);
            if (origin === undefined) {
              throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find "${digest}" in the store`, {
                details: { digest },
                hint: 'build or pull the image again',
              });
            }
            await engine.blobs.bring(origin, descriptor, signal);
          }
          return openPart(engine.content.path(digest), offset, length);
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

export interface StoreTargetOptions {
  /** What the image is called here; undefined: nothing. */
  readonly name: string | undefined;
  /** The repository that it comes from: a push to the same registry can mount its layers. */
  readonly origin?: string | undefined;
  readonly signal: AbortSignal;
}

/** The store as the target of a transfer. Blobs of a transfer that failed stay: a second try does not fetch them. */
export function storeTarget(engine: Engine, { name, origin, signal }: StoreTargetOptions): ImageTarget {
  const { content } = engine;
  return async (top, fill) => {
    await fill({
      async putBlob(descriptor, blob, options) {
        const { digest, size } = descriptor;
        if (content.stat(digest) === size) return 'exists';
        const temp = content.tempFile();
        try {
          const fd = openSync(temp, 'wx');
          try {
            await moveBlob(descriptor, blob, { ...options, sink: fileSink(fd, signal) });
          } finally {
            closeSync(fd);
          }
        } catch (error) {
          rmSync(temp, { force: true });
          throw isOcibuildError(error) ? error : storeError(error, temp);
        }
        content.ingest(temp, digest, size);
        return 'copied';
      },
      async putDocument({ mediaType }, bytes) {
        content.putBytes(bytes);
        knowLayers(engine, bytes, { mediaType, origin });
      },
    });
    if (name === undefined) return;
    const { annotations: _, ...descriptor } = top;
    engine.index.set(name, descriptor);
  };
}

function knowLayers(
  { content, layers }: Engine,
  bytes: Buffer,
  { mediaType, origin }: { readonly mediaType: string; readonly origin: string | undefined },
): void {
  const document = parseDocument(bytes, mediaType);
  if (document.kind !== 'manifest' || !isImageConfig(document.manifest.config.mediaType)) return;
  const config = parseConfig(content.readBytes(document.manifest.config.digest, MAX_DOCUMENT_BYTES));
  const from: LayerOrigin | undefined = origin === undefined ? undefined : { type: 'registry', name: origin };
  for (const [i, descriptor] of document.manifest.layers.entries()) {
    const diffId = config.rootfs.diff_ids[i];
    if (diffId !== undefined) layers.addBase({ diffId, descriptor, origin: from });
  }
}
