import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { isDigest } from '../../image/digest.ts';
import { MAX_DOCUMENT_BYTES } from '../../image/manifest.ts';
import { hostPlatform } from '../../image/platform.ts';
import { familiarName, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { Descriptor, Digest, History } from '../../image/types.ts';
import { choosePlatform } from '../../transfer/choose-platform.ts';
import { copyImage } from '../../transfer/copy-image.ts';
import { repositorySource, repositoryTarget } from '../../transfer/repository.ts';
import type { ContentSource, TransferEvent } from '../../transfer/types.ts';
import { openEngine } from '../engine.ts';
import { inspectImage, type StoreCommandOptions } from './store-commands.ts';
import { storeContent, storeTarget } from './store-content.ts';
import { findTop } from './stored-image.ts';

export interface TransferOptions extends StoreCommandOptions {
  /** `os/arch[/variant]`: one image of an index. */
  readonly platform?: string;
  readonly onEvent?: (event: TransferEvent) => void;
}

/**
 * Pushes an image of the store to where its name says, or to `to`.
 * @returns the digest that was pushed
 * @throws IMAGE_NOT_FOUND, REFERENCE_INVALID, REGISTRY_*
 */
export async function pushImage(
  root: string,
  { name, to = name }: { readonly name: string; readonly to?: string },
  options: TransferOptions,
): Promise<{ readonly digest: Digest; readonly reference: string }> {
  const { signal } = options;
  await using engine = await openEngine({ root, ...options, access: 'look' });
  const ref = withDefaultTag(parseReference(to));
  const source = storeContent(engine);
  const found = findTop(engine, name);
  const { platform } = options;
  const top = platform === undefined ? found : await choosePlatform(found, source, { platform, signal });
  const tags = ref.tag === undefined ? [] : [ref.tag];
  const target = repositoryTarget(await engine.registry(), ref, { digest: top.digest, tags });
  await copyImage(top, { from: source, to: target }, { signal, ...eventsOf(options) });
  return { digest: top.digest, reference: familiarName(ref) };
}

/**
 * Brings an image into the store: the one for a platform, or with `allPlatforms` an index and all below it.
 * @throws REGISTRY_*, IMAGE_PLATFORM_MISSING
 */
export async function pullImage(
  root: string,
  reference: string,
  options: TransferOptions & { readonly allPlatforms?: boolean },
): Promise<{ readonly digest: Digest; readonly descriptor: Descriptor; readonly reference: string }> {
  const { signal } = options;
  await using engine = await openEngine({ root, ...options });
  const ref = withDefaultTag(parseReference(reference));
  const registry = await engine.registry();
  const resolved = await registry.resolve(ref, { signal });
  const fetched = repositorySource(registry, ref, resolved);
  const source: ContentSource = {
    ...fetched,
    async readBytes(descriptor, cancel) {
      const isKnown = engine.content.stat(descriptor.digest) !== undefined;
      if (isKnown) return engine.content.readBytes(descriptor.digest, MAX_DOCUMENT_BYTES);
      return fetched.readBytes(descriptor, cancel);
    },
  };
  const chosen =
    options.allPlatforms === true
      ? resolved.descriptor
      : await choosePlatform(resolved.descriptor, source, {
          platform: options.platform ?? hostPlatform(),
          signal,
        });
  const target = storeTarget(engine, {
    name: familiarName(ref),
    origin: `${ref.registry}/${ref.repository}`,
    signal,
  });
  await target(chosen, (to) => copyImage(chosen, { from: source, to }, { signal, ...eventsOf(options) }));
  return { digest: chosen.digest, descriptor: chosen, reference: familiarName(ref) };
}

/** Gives an image of the store one more name. @throws IMAGE_NOT_FOUND, REFERENCE_INVALID */
export async function tagImage(
  root: string,
  { name, as }: { readonly name: string; readonly as: string },
  options: StoreCommandOptions,
): Promise<void> {
  await using engine = await openEngine({ root, ...options, access: 'change' });
  const ref = withDefaultTag(parseReference(as));
  if (ref.digest !== undefined) {
    throw new OcibuildError('REFERENCE_INVALID', `Cannot name an image "${as}": a name has no digest`);
  }
  const { annotations: _, ...descriptor } = findTop(engine, name);
  engine.index.set(familiarName(ref), descriptor);
}

/**
 * Takes names away; the blobs stay until they are pruned. A digest stands for the one name that leads to it, with `force`
 * for all of them; `force` also passes over what is not there.
 * @throws IMAGE_NOT_FOUND, USAGE_INVALID before anything is removed
 */
export async function untagImages(
  root: string,
  names: readonly string[],
  options: StoreCommandOptions & { readonly force?: boolean },
): Promise<void> {
  const { force = false } = options;
  await using engine = await openEngine({ root, ...options, access: 'change' });
  const { index } = engine;
  const wanted = names.flatMap((name): string[] => {
    const isName = !isDigest(name) && index.resolve(name) !== undefined;
    if (isName) return [name];
    try {
      const { digest } = findTop(engine, name);
      const its = index.list().flatMap((image) => (image.descriptor.digest === digest ? [image.name] : []));
      if (force || its.length < 2) return [digest];
      throw new OcibuildError('USAGE_INVALID', `Cannot remove "${name}": it has ${its.length} names`, {
        hint: `write those that are to go, or --force for all: ${its.join(' ')}`,
      });
    } catch (error) {
      if (force && isOcibuildError(error) && error.code === 'IMAGE_NOT_FOUND') return [];
      throw error;
    }
  });
  for (const each of wanted) index.remove(each);
}

/** One line of an image's history, newest first. */
export interface HistoryLine extends History {
  /** Bytes of the layer's blob; 0 where the step made none. */
  readonly sizeBytes: number;
}

/** @throws IMAGE_NOT_FOUND */
export async function imageHistory(
  root: string,
  name: string,
  options: StoreCommandOptions,
): Promise<readonly HistoryLine[]> {
  const { config, layers } = await inspectImage(root, name, options);
  let next = 0;
  return (config.history ?? [])
    .map((line) => ({ ...line, sizeBytes: line.empty_layer === true ? 0 : (layers[next++]?.size ?? 0) }))
    .reverse();
}

function eventsOf({ onEvent }: TransferOptions): { onEvent?: NonNullable<TransferOptions['onEvent']> } {
  return onEvent === undefined ? {} : { onEvent };
}
