import { OcibuildError } from '../errors/error.ts';
import { documentKind, parseDocument } from '../image/manifest.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import type { ContentSource, ContentTarget, TransferEvent } from './types.ts';

export interface CopyOptions {
  readonly signal: AbortSignal;
  readonly onEvent?: (event: TransferEvent) => void;
}

/**
 * Copies an image or an index with everything below it, byte for byte: blobs first, then manifests, then indexes.
 * Each digest moves once, however often it is named.
 * @throws what source and target throw; IMAGE_INVALID for a document that refers to itself
 * @see distribution-spec §Pushing
 */
export async function copyImage(
  top: Descriptor,
  { from, to }: { readonly from: ContentSource; readonly to: ContentTarget },
  { signal, onEvent = () => undefined }: CopyOptions,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const moves = new Map<Digest, Promise<void>>();
  let firstError: unknown;

  const once = (descriptor: Descriptor, move: () => Promise<void>): Promise<void> => {
    let promise = moves.get(descriptor.digest);
    if (promise === undefined) {
      promise = move().catch((error: unknown) => {
        firstError ??= error;
        failed.abort(new OcibuildError('CANCELLED', 'Cannot finish the transfer: a part of it failed'));
        throw error;
      });
      promise.catch(() => undefined);
      moves.set(descriptor.digest, promise);
    }
    return promise;
  };

  const copyBlob = (descriptor: Descriptor): Promise<void> =>
    once(descriptor, async () => {
      onEvent({ descriptor, current: 0 });
      const onProgress = (current: number): void => onEvent({ descriptor, current });
      const result = await to.putBlob(descriptor, from.blob(descriptor, either), {
        signal: either,
        onProgress,
      });
      onEvent({ descriptor, current: descriptor.size, result });
    });

  const copyDocument = (descriptor: Descriptor, above: readonly Digest[]): Promise<void> =>
    once(descriptor, async () => {
      const bytes = await from.readBytes(descriptor, either);
      const parts = partsOf(bytes, descriptor);
      const copyPart = (part: Descriptor): Promise<void> => {
        if (documentKind(part.mediaType) === undefined) return copyBlob(part);
        if (part.digest === descriptor.digest || above.includes(part.digest)) throw cycle(part);
        return copyDocument(part, [...above, descriptor.digest]);
      };
      if (to.inOrder === true) for (const part of parts) await copyPart(part);
      else await Promise.all(parts.map(copyPart));
      await to.putDocument(descriptor, bytes, either);
      onEvent({ descriptor, current: descriptor.size, result: 'copied' });
    });

  try {
    await copyDocument(top, []);
  } catch (error) {
    await Promise.allSettled(moves.values());
    // Later failures are only consequences of the first.
    throw firstError ?? error;
  }
}

/** What a document refers to and must be there before it. Layers that only their makers may distribute stay where they
 * are. */
function partsOf(bytes: Buffer, { mediaType }: Descriptor): readonly Descriptor[] {
  const document = parseDocument(bytes, mediaType);
  if (document.kind === 'index') return document.index.manifests;
  const { config, layers } = document.manifest;
  const isForeign = (layer: Descriptor): boolean =>
    layer.urls !== undefined && /foreign|nondistributable/.test(layer.mediaType);
  return [config, ...layers.filter((layer) => !isForeign(layer))];
}

function cycle({ digest }: Descriptor): OcibuildError {
  return new OcibuildError('IMAGE_INVALID', `Cannot copy the index "${digest}": it refers to itself`);
}
