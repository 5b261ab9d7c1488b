import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { LayerBlob } from '../../cache/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { documentKind, parseConfig, parseDocument } from '../../image/manifest.ts';
import { formatPlatform, hostPlatform, parsePlatform, selectPlatform } from '../../image/platform.ts';
import type { Descriptor, Digest, ImageConfig, Manifest, Platform } from '../../image/types.ts';
import { type Engine, openEngine } from '../engine.ts';

/** One tag of the store. */
export interface StoredImage {
  readonly name: string;
  readonly digest: Digest;
  /** Absent for an index. */
  readonly configDigest?: Digest;
  /** RFC 3339; of the newest where there are several. */
  readonly created: string | undefined;
  /** Bytes of config and layer blobs, each once. */
  readonly sizeBytes: number;
  /** All of an index, joined by commas. */
  readonly platform: string;
}

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

export interface StoreCommandOptions {
  /** Which image of an index. @default this machine's, or the first */
  readonly platform?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/** The images of a store by name. An image whose documents are damaged is left out. */
export async function listImages(
  root: string,
  options: StoreCommandOptions,
): Promise<readonly StoredImage[]> {
  await using engine = await openEngine({ root, ...options });
  return engine.index.list().flatMap(({ name, descriptor }): StoredImage[] => {
    try {
      const images = allImages(engine, descriptor);
      const [first] = images;
      if (first === undefined) return [];
      const blobs = images.flatMap(({ manifest }) => [manifest.config, ...manifest.layers]);
      const sizes = new Map(blobs.map(({ digest, size }) => [digest, size]));
      const isIndex = documentKind(descriptor.mediaType) === 'index';
      return [
        {
          name,
          digest: descriptor.digest,
          ...(isIndex ? {} : { configDigest: first.manifest.config.digest }),
          created: images
            .flatMap(({ config }) => config.created ?? [])
            .sort()
            .at(-1),
          sizeBytes: [...sizes.values()].reduce((sum, size) => sum + size, 0),
          platform: images.map(({ config }) => platformText(config)).join(', '),
        },
      ];
    } catch {
      return [];
    }
  });
}

function platformText({ os, architecture, variant }: ImageConfig): string {
  return formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** @throws IMAGE_NOT_FOUND, BLOB_* */
export async function inspectImage(
  root: string,
  name: string,
  options: StoreCommandOptions,
): Promise<ImageDetails> {
  await using engine = await openEngine({ root, ...options });
  return findImage(engine, name, options.platform);
}

/**
 * Makes an OCI runtime bundle: `rootfs` from all layers, `config.json` by the image-spec's conversion rules. It
 * shares the host's network, so that `runc run` needs nothing set up. Nothing is left when it fails.
 * @throws IMAGE_NOT_FOUND, EXPORT_TARGET_INVALID, LAYER_INVALID, DISK_FULL
 * @see image-spec conversion.md
 */
export async function unpackImage(
  root: string,
  name: string,
  options: StoreCommandOptions & { readonly bundle: string },
): Promise<ImageDetails & { readonly devicesLeftOut: readonly string[] }> {
  const { bundle, signal } = options;
  await using engine = await openEngine({ root, ...options });
  const image = findImage(engine, name, options.platform);
  refuseUsed(bundle);
  const [{ applyLayer }, { bundleConfig }] = await Promise.all([
    import('../../layer/unpack-layer.ts'),
    import('../../executor/bundle.ts'),
  ]);
  mkdirSync(dirname(bundle), { recursive: true });
  const temp = `${bundle}.${process.pid}.tmp`;
  const devices: string[] = [];
  try {
    mkdirSync(temp, { mode: 0o755 });
    const rootfs = join(temp, 'rootfs');
    mkdirSync(rootfs, { mode: 0o755 });
    for (const blob of await blobsOf(engine, image, signal)) {
      const { digest, size } = blob.descriptor;
      const how = { digest, size, diffId: blob.diffId, dest: rootfs, ignoreDevices: engine.rootless, signal };
      const { tree } = await applyLayer({ path: blob.path }, how);
      if (!engine.rootless) continue;
      devices.push(...tree.filter(({ type }) => type === 'char' || type === 'block').map(({ path }) => path));
    }
    writeFileSync(join(temp, 'config.json'), bundleConfig(image.config, rootfs, engine.rootless));
    rmSync(bundle, { recursive: true, force: true });
    renameSync(temp, bundle);
  } catch (error) {
    rmSync(temp, { recursive: true, force: true });
    throw error;
  }
  return { ...image, devicesLeftOut: devices };
}

function findImage(engine: Engine, name: string, wanted: string | undefined): ImageDetails {
  const platform = wanted === undefined ? hostPlatform() : parsePlatform(wanted);
  const top = engine.index.resolve(name, platform);
  if (top === undefined) {
    const names = engine.index.list().map((image) => image.name);
    throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find the image "${name}" in the store`, {
      hint:
        names.length === 0 ? 'the store holds no images' : `the store holds ${names.slice(0, 5).join(', ')}`,
    });
  }
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
function allImages(engine: Engine, top: Descriptor): Omit<ImageDetails, 'name'>[] {
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

/** Blobs that are not here yet are fetched, a few at a time, from where the image came from. */
async function blobsOf(
  engine: Engine,
  image: ImageDetails,
  signal: AbortSignal,
): Promise<readonly LayerBlob[]> {
  const { default: PQueue } = await import('p-queue');
  const queue = new PQueue({ concurrency: availableParallelism() });
  return Promise.all(
    image.layers.map(({ diffId }, i) =>
      queue.add(() => {
        engine.layers.addBase({
          diffId,
          descriptor: image.manifest.layers[i] as Descriptor,
          origin: undefined,
        });
        return engine.layers.blob(diffId, { compression: 'gzip' }, signal);
      }),
    ),
  );
}

function refuseUsed(bundle: string): void {
  const stat = statSync(bundle, { throwIfNoEntry: false });
  if (stat === undefined || (stat.isDirectory() && readdirSync(bundle).length === 0)) return;
  throw new OcibuildError(
    'EXPORT_TARGET_INVALID',
    `Cannot unpack to "${bundle}": it exists and is not an empty directory`,
    {
      hint: 'remove it, or name another directory',
    },
  );
}
