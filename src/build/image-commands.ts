import { OcibuildError } from '../errors/error.ts';
import { documentKind, parseConfig, parseDocument } from '../image/manifest.ts';
import { formatPlatform, hostPlatform, parsePlatform, selectPlatform } from '../image/platform.ts';
import { familiarName, parseReference, type Reference, withDefaultTag } from '../image/reference.ts';
import { type Descriptor, type Digest, type History, MEDIA_TYPE } from '../image/types.ts';
import { copyImage } from '../transfer/copy-image.ts';
import { repositoryTarget } from '../transfer/repository.ts';
import type { ContentSource, ContentTarget, TransferEvent } from '../transfer/types.ts';
import { type Engine, openEngine } from './engine.ts';
import { createBlobFetcher } from './inputs/fetch-blob.ts';
import { inspectImage, type StoreCommandOptions } from './store-commands.ts';
import { storeContent } from './store-content.ts';

export interface TransferOptions extends StoreCommandOptions {
  /** `os/arch[/variant]`: one image of an index. */
  readonly platform?: string;
  readonly onEvent?: (event: TransferEvent) => void;
}

const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

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
  await using engine = await openEngine({ root, ...options });
  const ref = withDefaultTag(parseReference(to));
  const source = storeContent(engine);
  const top = await choosePlatform(findTop(engine, name), source, options);
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
  name: string,
  options: TransferOptions & { readonly allPlatforms?: boolean },
): Promise<{ readonly digest: Digest; readonly reference: string }> {
  const { signal } = options;
  await using engine = await openEngine({ root, ...options });
  const ref = withDefaultTag(parseReference(name));
  const registry = await engine.registry();
  const resolved = await registry.resolve(ref, { signal });
  const fetcher = registry.fetcher(ref);
  const source: ContentSource = {
    async readBytes(descriptor) {
      if (descriptor.digest === resolved.descriptor.digest) return resolved.bytes;
      if (engine.content.stat(descriptor.digest) !== undefined) {
        return engine.content.readBytes(descriptor.digest, MAX_DOCUMENT_BYTES);
      }
      return fetcher.fetchBytes(descriptor, { signal });
    },
    blob: () => ({
      mountFrom: () => undefined,
      open() {
        throw new OcibuildError('INTERNAL', 'Cannot open a part of a blob of a registry');
      },
    }),
  };
  const chosen =
    options.allPlatforms === true
      ? resolved.descriptor
      : await choosePlatform(resolved.descriptor, source, { ...options, always: true });
  await copyImage(chosen, { from: source, to: storeTarget(engine, ref) }, { signal, ...eventsOf(options) });
  if (ref.tag !== undefined) engine.index.set(familiarName(ref), chosen);
  return { digest: chosen.digest, reference: familiarName(ref) };
}

/** Gives an image of the store one more name. @throws IMAGE_NOT_FOUND, REFERENCE_INVALID */
export async function tagImage(
  root: string,
  { name, as }: { readonly name: string; readonly as: string },
  options: StoreCommandOptions,
): Promise<void> {
  await using engine = await openEngine({ root, ...options });
  const ref = withDefaultTag(parseReference(as));
  if (ref.digest !== undefined) {
    throw new OcibuildError('REFERENCE_INVALID', `Cannot name an image "${as}": a name has no digest`);
  }
  const { annotations: _, ...descriptor } = findTop(engine, name);
  engine.index.set(familiarName(ref), descriptor);
}

/** Takes names away; the blobs stay until they are pruned. @throws IMAGE_NOT_FOUND before anything is removed */
export async function untagImages(
  root: string,
  names: readonly string[],
  options: StoreCommandOptions,
): Promise<void> {
  await using engine = await openEngine({ root, ...options });
  for (const name of names) findTop(engine, name);
  for (const name of names) engine.index.remove(name);
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

function storeTarget(engine: Engine, ref: Reference): ContentTarget {
  const name = `${ref.registry}/${ref.repository}`;
  return {
    async putBlob(descriptor, _blob, { signal, onProgress }) {
      if (engine.content.stat(descriptor.digest) === descriptor.size) return 'exists';
      const fetchBlob = createBlobFetcher({
        content: engine.content,
        registry: engine.registry,
        onProgress: (_, bytes) => onProgress(bytes),
      });
      await fetchBlob({ type: 'registry', name }, descriptor, signal);
      return 'copied';
    },
    async putDocument({ mediaType }, bytes) {
      engine.content.putBytes(bytes);
      knowLayers(engine, bytes, { mediaType, name });
    },
  };
}

/** Where layers came from lets a push to the same registry mount them. */
function knowLayers(
  { content, layers }: Engine,
  bytes: Buffer,
  { mediaType, name }: { readonly mediaType: string; readonly name: string },
): void {
  const document = parseDocument(bytes, mediaType);
  if (document.kind !== 'manifest' || !isImageConfig(document.manifest.config.mediaType)) return;
  const config = parseConfig(content.readBytes(document.manifest.config.digest, MAX_DOCUMENT_BYTES));
  for (const [i, descriptor] of document.manifest.layers.entries()) {
    const diffId = config.rootfs.diff_ids[i];
    if (diffId !== undefined) layers.addBase({ diffId, descriptor, origin: { type: 'registry', name } });
  }
}

function isImageConfig(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.config || mediaType === MEDIA_TYPE.dockerConfig;
}

function findTop(engine: Engine, name: string): Descriptor {
  const found = engine.index.resolve(name);
  if (found !== undefined) return found;
  const names = engine.index.list().map((image) => image.name);
  throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find the image "${name}" in the store`, {
    hint:
      names.length === 0 ? 'the store holds no images' : `the store holds ${names.slice(0, 5).join(', ')}`,
  });
}

/** The image of an index that is meant; the index itself where no platform was named and none must be. */
async function choosePlatform(
  top: Descriptor,
  source: ContentSource,
  { platform, signal, always = false }: TransferOptions & { readonly always?: boolean },
): Promise<Descriptor> {
  const isIndex = documentKind(top.mediaType) === 'index';
  if (!isIndex || (platform === undefined && !always)) return top;
  const document = parseDocument(await source.readBytes(top, signal), top.mediaType);
  if (document.kind !== 'index') return top;
  const wanted = platform === undefined ? hostPlatform() : parsePlatform(platform);
  const { manifests } = document.index;
  const platforms = manifests.map((entry) => entry.platform);
  const found = manifests[selectPlatform(platforms, wanted)];
  if (found !== undefined) return found;
  const has = platforms.flatMap((one) => (one === undefined ? [] : [formatPlatform(one)])).join(', ');
  throw new OcibuildError(
    'IMAGE_PLATFORM_MISSING',
    `Cannot use the index "${top.digest}" for ${formatPlatform(wanted)}: it has ${has || 'no platform'}`,
  );
}

function eventsOf({ onEvent }: TransferOptions): { onEvent?: NonNullable<TransferOptions['onEvent']> } {
  return onEvent === undefined ? {} : { onEvent };
}
