import { resolve as resolvePath } from 'node:path';
import type { ContentStore, ImageIndex, LayerOrigin } from '../../cache/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { ImageResolver, ResolvedImage } from '../../frontend/types.ts';
import { digestBytes } from '../../image/digest.ts';
import { openLayout, parseLayoutTarget } from '../../image/layout.ts';
import { documentKind, MAX_DOCUMENT_BYTES, parseConfig, parseDocument } from '../../image/manifest.ts';
import { formatPlatform, selectPlatform } from '../../image/platform.ts';
import { familiarName, normalName, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { Descriptor, Digest, ImageConfig, Manifest, Platform } from '../../image/types.ts';
import type { Resolver } from '../../registry/types.ts';
import { withStoredPlatforms } from '../images/stored-elsewise.ts';
import { imageEntry } from '../lock/lock-file.ts';
import { type HeldLock, lockedImage, lockedImageGone } from '../lock/locked.ts';
import type { SourceRules } from '../policy/source-rules.ts';

/** One layer of a base image and where its bytes can be had. */
export interface OriginLayer {
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
  readonly origin: LayerOrigin | undefined;
}

export interface ImageSources extends ImageResolver {
  /** Layers of an image that `resolve` gave, by its chain of diffIDs. */
  layersOf(diffIds: readonly Digest[]): readonly OriginLayer[];
  /** What was asked: names that now stand in the store, and layouts. */
  used(): { readonly baseTags: Readonly<Record<string, Digest>>; readonly layoutDirs: readonly string[] };
  /** What a lock file says of the images that were asked for, by their entries there. */
  lockable(): ReadonlyMap<string, LockableImage>;
}

export interface LockableImage {
  /** Of the index where there is one. */
  readonly digest: Digest;
  /** The store's image was taken because the registry gave none. */
  readonly instead?: unknown;
}

export interface ImageSourcesDeps {
  readonly content: Pick<ContentStore, 'stat' | 'readBytes' | 'putBytes'>;
  readonly index: Pick<ImageIndex, 'resolve' | 'set'>;
  /** Whether a layer is here, or known to be had from elsewhere. */
  readonly hasLayer: (diffId: Digest) => boolean;
  /** Made at the first name that needs the network. */
  readonly registry: () => Promise<Resolver>;
}

export interface ImageSourcesOptions {
  readonly pull: 'missing' | 'always' | 'newer' | 'never';
  /** `--build-context` values; directories are not asked here. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Images are taken as they stand there, whatever their tags mean now. */
  readonly locked?: HeldLock;
  /** Which images may be used, and which stand in for others; before the lock file has its say. */
  readonly rules?: SourceRules | undefined;
}

/** Finds base images: named contexts first, then the store, then a registry. Only manifests and configs move. */
export function createImageSources(deps: ImageSourcesDeps, options: ImageSourcesOptions): ImageSources {
  const layers = new Map<string, readonly OriginLayer[]>();
  const baseTags: Record<string, Digest> = {};
  /** For which platforms a name was asked for. */
  const asked = new Map<string, Set<string>>();
  const layoutDirs: string[] = [];
  const lockable = new Map<string, LockableImage>();
  const { locked, rules } = options;
  const contexts = new Map(
    Object.entries(options.contexts).map(([key, value]) => {
      const [name = '', ...platform] = key.split('::');
      return [[contextKey(name), ...platform].join('::'), value];
    }),
  );

  async function resolve(name: string, platform: Platform, signal: AbortSignal): Promise<ResolvedImage> {
    const context =
      contexts.get(`${contextKey(name)}::${formatPlatform(platform)}`) ?? contexts.get(contextKey(name));
    if (context?.startsWith('oci-layout://')) return fromLayout(name, context, platform, signal);
    const reference = context?.startsWith('docker-image://') ? context.slice('docker-image://'.length) : name;
    if (reference === 'scratch') return emptyImage(platform);
    return rules === undefined
      ? fromName(reference, platform, signal)
      : fromRules(rules, reference, platform, signal);
  }

  /** The image that the rules have in the place of a name; they may not know it before they see its digest. */
  async function fromRules(
    allowed: SourceRules,
    name: string,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    const tried = new Set<string>();
    for (let wanted = allowed.image(name); !tried.has(wanted); ) {
      tried.add(wanted);
      const image = await fromName(wanted, platform, signal);
      const reference = withDefaultTag(parseReference(wanted));
      if (reference.digest !== undefined) return image;
      const shown = normalName(reference);
      const digest = lockable.get(shown)?.digest ?? image.manifest;
      const found = allowed.resolved(shown, digest);
      // A rule for every tag gives the name without the digest again.
      if (found === `${shown}@${digest}` || found === shown) return image;
      wanted = found;
    }
    const message = `Cannot use the image "${name}": the source policy converts it again and again`;
    throw new OcibuildError('SOURCE_POLICY_INVALID', message);
  }

  async function fromLayout(
    name: string,
    value: string,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    rules?.layout(value);
    const target = parseLayoutTarget(value);
    const dir = resolvePath(options.cwd, target.dir);
    const layout = await openLayout(dir);
    layoutDirs.push(dir);
    const descriptor = await layout.resolve({ ...target, platform, signal });
    const read = (wanted: Descriptor): Promise<Buffer> => layout.readBlob(wanted, { signal });
    return remember(name, descriptor, await readImage(descriptor, read), { type: 'layout', dir });
  }

  async function fromName(name: string, platform: Platform, signal: AbortSignal): Promise<ResolvedImage> {
    const entry = locked === undefined ? undefined : imageEntry(name);
    if (locked !== undefined && entry !== undefined) return fromLock(locked, entry, platform, signal);
    const reference = withDefaultTag(parseReference(name));
    const shown = normalName(reference);
    asked.set(shown, (asked.get(shown) ?? new Set()).add(formatPlatform(platform)));
    if (options.pull !== 'always' && options.pull !== 'newer') {
      const stored = await fromStore(shown, platform);
      if (stored !== undefined) return stored;
      if (options.pull === 'never') {
        const has = storedPlatforms(shown);
        if (has.length > 0) throw lacksPlatform(shown, platform, has);
        throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find the image "${shown}" in the store`, {
          hint: 'build or pull it first, or build without `--pull never`',
        });
      }
    }
    try {
      return await fromRegistry(name, platform, signal);
    } catch (error) {
      // "newer" wants the registry's opinion, not its presence.
      const stored =
        options.pull === 'newer' && !signal.aborted ? await fromStore(shown, platform) : undefined;
      if (stored === undefined)
        throw options.pull === 'always' ? error : withStoredPlatforms(error, name, storedPlatforms(shown));
      const known = lockable.get(shown);
      if (known !== undefined) lockable.set(shown, { ...known, instead: error });
      return stored;
    }
  }

  /** What has a digest is asked for once and never changes, so the store comes first whatever `--pull` says. */
  async function fromLock(
    held: HeldLock,
    entry: string,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    const digest = lockedImage(held, entry);
    if (options.pull === 'never' && deps.content.stat(digest) === undefined) {
      throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find the image "${entry}@${digest}" in the store`, {
        hint: 'pull it first, or build without `--pull never`',
      });
    }
    try {
      return await fromRegistry(entry, platform, signal, digest);
    } catch (error) {
      throw lockedImageGone(held, entry, error);
    }
  }

  async function fromStore(name: string, platform: Platform): Promise<ResolvedImage | undefined> {
    const tagged = deps.index.resolve(name, platform);
    if (tagged === undefined || deps.content.stat(tagged.digest) === undefined) return undefined;
    const read = async (wanted: Descriptor): Promise<Buffer> =>
      deps.content.readBytes(wanted.digest, MAX_DOCUMENT_BYTES);
    const descriptor = await descend(tagged, platform, name, read);
    // Of an index only the images that were asked for are here.
    if (deps.content.stat(descriptor.digest) === undefined) return undefined;
    const image = await readImage(descriptor, read);
    // A build on a base of another platform is for that platform, and serves the one it was made for, too.
    const serves = [platformOf(image.config), ...(descriptor.platform ? [descriptor.platform] : [])];
    if (selectPlatform(serves, platform) < 0) return undefined;
    baseTags[familiarName(withDefaultTag(parseReference(name)))] = tagged.digest;
    lockable.set(name, { digest: tagged.digest });
    return remember(name, descriptor, image, await lostOrigin(name, descriptor, image));
  }

  /** For which platforms an image is here. */
  function storedPlatforms(name: string): readonly string[] {
    const top = deps.index.resolve(name);
    if (top === undefined) return [];
    try {
      const read = ({ digest }: Descriptor): Buffer => deps.content.readBytes(digest, MAX_DOCUMENT_BYTES);
      const document = parseDocument(read(top), top.mediaType);
      if (document.kind === 'manifest')
        return [formatPlatform(platformOf(parseConfig(read(document.manifest.config))))];
      return platformsOf(
        document.index.manifests.filter(({ digest }) => deps.content.stat(digest) !== undefined),
      );
    } catch {
      // Told where the image is used.
      return [];
    }
  }

  /** Where layers that are gone from the store can be had: in the registry of the name, if it has the very same
   * image. A damaged cache.db forgets what came from where. */
  async function lostOrigin(
    name: string,
    { digest }: Descriptor,
    { manifest, config }: { manifest: Manifest; config: ImageConfig },
  ): Promise<LayerOrigin | undefined> {
    const isHere = (diffId: Digest, i: number): boolean =>
      deps.content.stat(manifest.layers[i]?.digest ?? diffId) !== undefined || deps.hasLayer(diffId);
    if (options.pull === 'never' || config.rootfs.diff_ids.every(isHere)) return undefined;
    const { registry, repository } = parseReference(name);
    try {
      const remote = await deps.registry();
      // Without `known`: that the manifest is here says nothing about the registry.
      await remote.resolve({ registry, repository, digest }, { signal: options.signal });
      return { type: 'registry', name: `${registry}/${repository}@${digest}` };
    } catch {
      // Whoever needs the layers says that they are gone; a build may not need them.
      return undefined;
    }
  }

  async function knownBytes(digest: Digest): Promise<Buffer | undefined> {
    if (deps.content.stat(digest) === undefined) return undefined;
    return deps.content.readBytes(digest, MAX_DOCUMENT_BYTES);
  }

  async function fromRegistry(
    name: string,
    platform: Platform,
    signal: AbortSignal,
    digest?: Digest,
  ): Promise<ResolvedImage> {
    const named = withDefaultTag(parseReference(name));
    const { tag: _tag, ...untagged } = named;
    const reference = digest === undefined ? named : { ...untagged, digest };
    const registry = await deps.registry();
    const top = await registry.resolve(reference, { signal, known: knownBytes });
    const fetcher = registry.fetcher(reference);
    const read = async (wanted: Descriptor): Promise<Buffer> => {
      const here = wanted.digest === top.descriptor.digest ? top.bytes : await knownBytes(wanted.digest);
      const bytes = here ?? (await fetcher.fetchBytes(wanted, { signal }));
      deps.content.putBytes(bytes);
      return bytes;
    };
    const shown = normalName(named);
    const descriptor = await descend(top.descriptor, platform, shown, read);
    const image = await readImage(descriptor, read);
    // The name makes the next build independent of the registry; its layers follow when they are needed.
    if (reference.tag !== undefined) {
      // For several platforms the index is what the name stands for, so that each finds its own image.
      // Rules are about its digest, too.
      const isIndex = rules !== undefined || (asked.get(shown)?.size ?? 0) > 1;
      const meant = isIndex ? top.descriptor : descriptor;
      deps.index.set(familiarName(reference), meant, { fetchedByBuild: true });
      baseTags[familiarName(reference)] = meant.digest;
    }
    lockable.set(shown, { digest: top.descriptor.digest });
    return remember(shown, descriptor, image, { type: 'registry', name: normalName(reference) });
  }

  function remember(
    name: string,
    descriptor: Descriptor,
    { manifest, config }: { manifest: Manifest; config: ImageConfig },
    origin: LayerOrigin | undefined,
  ): ResolvedImage {
    const { diff_ids: diffIds } = config.rootfs;
    if (diffIds.length !== manifest.layers.length) {
      throw new OcibuildError(
        'IMAGE_INVALID',
        `Cannot use the image "${name}": it has ${manifest.layers.length} layers and ${diffIds.length} diff_ids`,
      );
    }
    layers.set(
      diffIds.join(' '),
      diffIds.map((diffId, i) => ({ diffId, descriptor: manifest.layers[i] as Descriptor, origin })),
    );
    return { name: `${name}@${descriptor.digest}`, manifest: descriptor.digest, config };
  }

  return {
    resolve,
    used: () => ({ baseTags, layoutDirs }),
    lockable: () => lockable,
    layersOf(diffIds) {
      const found = layers.get(diffIds.join(' '));
      if (found === undefined) {
        throw new OcibuildError('INTERNAL', 'Cannot use a base image that was not resolved in this build');
      }
      return found;
    },
  };
}

/** Follows indexes down to the manifest of a platform. */
async function descend(
  top: Descriptor,
  platform: Platform,
  name: string,
  read: (descriptor: Descriptor) => Promise<Buffer>,
): Promise<Descriptor> {
  let descriptor = top;
  while (documentKind(descriptor.mediaType) === 'index') {
    const document = parseDocument(await read(descriptor), descriptor.mediaType);
    if (document.kind !== 'index') break;
    const { manifests } = document.index;
    const found = manifests[
      selectPlatform(
        manifests.map((entry) => entry.platform),
        platform,
      )
    ] as Descriptor | undefined;
    if (found === undefined) throw lacksPlatform(name, platform, platformsOf(manifests));
    descriptor = found;
  }
  return descriptor;
}

function platformOf({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function platformsOf(manifests: readonly Descriptor[]): string[] {
  return manifests.flatMap(({ platform: p }) =>
    p === undefined || p.os === 'unknown' ? [] : [formatPlatform(p)],
  );
}

function lacksPlatform(name: string, platform: Platform, has: readonly string[]): OcibuildError {
  return new OcibuildError(
    'IMAGE_PLATFORM_MISSING',
    `Cannot use the image "${name}" for ${formatPlatform(platform)}: it has ${has.join(', ') || 'no platform'}`,
  );
}

async function readImage(
  descriptor: Descriptor,
  read: (descriptor: Descriptor) => Promise<Buffer>,
): Promise<{ manifest: Manifest; config: ImageConfig }> {
  const document = parseDocument(await read(descriptor), descriptor.mediaType);
  if (document.kind !== 'manifest') {
    throw new OcibuildError('IMAGE_INVALID', `Cannot use "${descriptor.digest}" as an image: it is an index`);
  }
  return { manifest: document.manifest, config: parseConfig(await read(document.manifest.config)) };
}

/** Named contexts are compared by normalised image name where they are one: `busybox` is
 * `docker.io/library/busybox:latest`. */
function contextKey(name: string): string {
  try {
    return normalName(withDefaultTag(parseReference(name)));
  } catch {
    return name;
  }
}

/** `docker-image://scratch`: the name of no image, but of the empty file system. */
function emptyImage({ os, architecture, variant }: Platform): ResolvedImage {
  const config: ImageConfig = {
    ...{ os, architecture, ...(variant === undefined ? {} : { variant }) },
    config: { WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
  };
  return { name: 'scratch', manifest: digestBytes(JSON.stringify(config)), config };
}
