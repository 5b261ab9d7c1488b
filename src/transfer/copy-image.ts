import { OcibuildError } from '../errors/error.ts';
import { documentKind, parseDocument } from '../image/manifest.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import type { ContentSource, ContentTarget, TransferEvent } from './types.ts';

export interface CopyOptions {
  readonly signal: AbortSignal;
  readonly onEvent?: (event: TransferEvent) => void;
}

/** An index of indexes is allowed by image-spec, and no tool makes one of indexes of indexes. */
const MAX_DEPTH = 8;
/** Parts of one document; 4 MiB of an index name 20,000. */
const PARTS_AT_ONCE = 16;

/**
 * Copies an image or an index with everything below it, byte for byte: blobs first, then manifests, then indexes.
 * Each digest moves once, however often it is named.
 * @throws what source and target throw; IMAGE_INVALID for a document that refers to itself, or indexes nested too deep
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
      const inOrder = to.inOrder === true;
      const parts = partsOf(bytes, descriptor, inOrder);
      const copyPart = (part: Descriptor): Promise<void> => {
        if (documentKind(part.mediaType) === undefined) return copyBlob(part);
        if (part.digest === descriptor.digest || above.includes(part.digest)) throw cycle(part);
        return copyDocument(part, [...above, descriptor.digest]);
      };
      if (above.length === MAX_DEPTH) throw tooDeep(top);
      await forEachOf(parts, inOrder ? 1 : PARTS_AT_ONCE, copyPart);
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
 * are. The last layer is first unless the order counts: what is new of an image is at its end, and so is sent while the
 * target is still asked for the rest. */
function partsOf(bytes: Buffer, { mediaType }: Descriptor, inOrder: boolean): readonly Descriptor[] {
  const document = parseDocument(bytes, mediaType);
  if (document.kind === 'index') return document.index.manifests;
  const { config, layers } = document.manifest;
  const isForeign = (layer: Descriptor): boolean =>
    layer.urls !== undefined && /foreign|nondistributable/.test(layer.mediaType);
  const own = layers.filter((layer) => !isForeign(layer));
  return [config, ...(inOrder ? own : own.toReversed())];
}

/** Runs `action` on all items, some at a time; the first failure ends it. */
async function forEachOf<T>(
  items: readonly T[],
  atOnce: number,
  action: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const work = async (): Promise<void> => {
    for (const item of rest) await action(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
}

function tooDeep({ digest }: Descriptor): OcibuildError {
  return new OcibuildError(
    'IMAGE_INVALID',
    `Cannot copy the index "${digest}": indexes are nested more than ${MAX_DEPTH} deep`,
  );
}

function cycle({ digest }: Descriptor): OcibuildError {
  return new OcibuildError('IMAGE_INVALID', `Cannot copy the index "${digest}": it refers to itself`);
}
