import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { documentKind, MAX_DOCUMENT_BYTES, parseConfig, parseDocument } from '../../image/manifest.ts';
import { formatPlatform, hostPlatform, parsePlatform, selectPlatform } from '../../image/platform.ts';
import { parseReference } from '../../image/reference.ts';
import type { Descriptor, Digest, ImageConfig, Manifest, Platform } from '../../image/types.ts';
import type { Engine } from '../engine.ts';

const MAX_LISTED = 5;

/** An image of the store, its documents read. */
export interface ImageDetails {
  readonly name: string;
  /** What the tag points to, where that is an index over several images. */
  readonly index?: { readonly descriptor: Descriptor; readonly bytes: Buffer };
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly manifestBytes: Buffer;
  readonly config: ImageConfig;
  readonly configBytes: Buffer;
  readonly layers: readonly { digest: Digest; diffId: Digest; size: number; mediaType: string }[];
}

/** What a name of the store stands for, a name with a digest, or a digest or the first digits of one: an image, or an
 * index.
 * @throws IMAGE_NOT_FOUND */
export function findTop({ index }: Pick<Engine, 'index'>, name: string, platform?: Platform): Descriptor {
  const found = index.resolve(name, platform) ?? pinned(index, name);
  if (found !== undefined) return found;
  const [, start] = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(name) ?? [];
  const alike =
    start === undefined
      ? []
      : index.list().filter(({ descriptor }) => descriptor.digest.startsWith(`sha256:${start}`));
  const [first] = alike;
  if (first !== undefined) {
    if (alike.every(({ descriptor }) => descriptor.digest === first.descriptor.digest))
      return first.descriptor;
    throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot tell which image "${name}" is: several begin so`, {
      hint: `these are ${alike.map((image) => `${image.name} ${image.descriptor.digest}`).join(', ')}`,
    });
  }
  const names = index.list().map((image) => image.name);
  throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find the image "${name}" in the store`, {
    hint: hintOf(name, names),
  });
}

/** Most often it is the tag that is wrong, or left out. */
function hintOf(name: string, names: readonly string[]): string {
  if (names.length === 0) return 'the store holds no images';
  const alike = names.filter((each) => repositoryOf(each) === repositoryOf(name));
  const near = alike.length === 0 ? didYouMean(name, names) : undefined;
  const listed = alike.length === 0 ? names : alike;
  const more = listed.length > MAX_LISTED ? ` and ${listed.length - MAX_LISTED} more` : '';
  return near ?? `the store holds ${listed.slice(0, MAX_LISTED).join(', ')}${more}`;
}

function repositoryOf(name: string): string {
  try {
    const { registry, repository } = parseReference(name);
    return `${registry}/${repository}`;
  } catch {
    return name;
  }
}

/** `app@DIGEST` and `app:v1@DIGEST`, where an image of that repository, or tag, has the digest. */
function pinned(index: Engine['index'], name: string): Descriptor | undefined {
  if (!name.includes('@')) return undefined;
  const { registry, repository, tag, digest } = parseReference(name);
  return index.list().find(({ normalised, descriptor }) => {
    if (normalised === undefined || descriptor.digest !== digest) return false;
    const its = parseReference(normalised);
    const isTag = tag === undefined || tag === its.tag;
    return isTag && its.registry === registry && its.repository === repository;
  })?.descriptor;
}

/**
 * The image of a name: of an index the one for `wanted`, or for this machine, or the first.
 * @throws IMAGE_NOT_FOUND, IMAGE_PLATFORM_MISSING, IMAGE_INVALID, BLOB_*
 */
export function findImage(engine: Engine, name: string, wanted: string | undefined): ImageDetails {
  const platform = wanted === undefined ? hostPlatform() : parsePlatform(wanted);
  return imageBelow(engine, { name, top: findTop(engine, name, platform) }, wanted);
}

/** As `findImage`, of what a name stands for. */
export function imageBelow(
  engine: Engine,
  { name, top }: { readonly name: string; readonly top: Descriptor },
  wanted: string | undefined,
): ImageDetails {
  const platform = wanted === undefined ? hostPlatform() : parsePlatform(wanted);
  const images = manifestsOf(engine, top);
  const best = selectPlatform(
    images.map((entry) => entry.platform),
    platform,
  );
  const chosen = images[best] ?? (wanted === undefined ? images[0] : undefined);
  const image = chosen === undefined ? undefined : { name, ...readManifest(engine, chosen) };
  if (image === undefined || (wanted !== undefined && !runsOn(image.config, platform))) {
    const has = images.map((entry) => (entry.platform === undefined ? '?' : formatPlatform(entry.platform)));
    throw new OcibuildError(
      'IMAGE_PLATFORM_MISSING',
      `Cannot find the image "${name}" for ${formatPlatform(platform)}: it has ${has.join(', ') || 'no platform'}`,
      { details: { platforms: has } },
    );
  }
  if (documentKind(top.mediaType) !== 'index') return image;
  const bytes = engine.content.readBytes(top.digest, MAX_DOCUMENT_BYTES);
  return { ...image, index: { descriptor: top, bytes } };
}

function runsOn({ os, architecture, variant }: ImageConfig, platform: Platform): boolean {
  return (
    selectPlatform([{ os, architecture, ...(variant === undefined ? {} : { variant }) }], platform) === 0
  );
}

/** Every image below a tag that is here. */
export function allImages(engine: Engine, top: Descriptor): Omit<ImageDetails, 'name'>[] {
  return manifestsOf(engine, top)
    .filter(({ digest }) => engine.content.stat(digest) !== undefined)
    .map((descriptor) => readManifest(engine, descriptor));
}

/** Descriptors of the images below a tag, in the order of their indexes. */
function manifestsOf(engine: Engine, top: Descriptor): Descriptor[] {
  if (documentKind(top.mediaType) !== 'index') return [top];
  const document = parseDocument(engine.content.readBytes(top.digest, MAX_DOCUMENT_BYTES), top.mediaType);
  if (document.kind !== 'index') return [top];
  return document.index.manifests
    .filter(({ mediaType, platform }) => documentKind(mediaType) !== undefined && platform?.os !== 'unknown')
    .flatMap((entry) => manifestsOf(engine, entry));
}

function readManifest(engine: Engine, descriptor: Descriptor): Omit<ImageDetails, 'name'> {
  const bytes = engine.content.readBytes(descriptor.digest, MAX_DOCUMENT_BYTES);
  const document = parseDocument(bytes, descriptor.mediaType);
  if (document.kind === 'index') {
    throw new OcibuildError('IMAGE_INVALID', `Cannot use "${descriptor.digest}" as an image: it is an index`);
  }
  const { manifest } = document;
  const configBytes = engine.content.readBytes(manifest.config.digest, MAX_DOCUMENT_BYTES);
  const config = parseConfig(configBytes);
  const layers = manifest.layers.map(({ digest, size, mediaType }, i) => ({
    digest,
    diffId: config.rootfs.diff_ids[i] as Digest,
    size,
    mediaType,
  }));
  return { descriptor, manifest, manifestBytes: bytes, config, configBytes, layers };
}
