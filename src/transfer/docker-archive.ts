import { createHash } from 'node:crypto';
import { OcibuildError } from '../errors/error.ts';
import { digestBytes } from '../image/digest.ts';
import { blobName } from '../image/layout.ts';
import { documentKind, encodeDocument, parseConfig, parseDocument } from '../image/manifest.ts';
import {
  familiarName,
  normalName,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../image/reference.ts';
import { ANNOTATION, type Descriptor, type Digest, type Manifest, MEDIA_TYPE } from '../image/types.ts';
import { type ArchiveKind, sniffArchive } from '../layer/compression/archive-sniff.ts';
import { BLOCK } from '../layer/tar/tar-header.ts';
import { invalidArchive } from './archive-error.ts';
import type { ArchiveFile, ArchiveMember } from './archive-file.ts';
import { archiveSource, readArchiveIndex } from './archive-source.ts';
import type { SavedImage } from './docker-save.ts';
import { openPart } from './file-part.ts';
import type { ContentSource } from './types.ts';

/**
 * An image of an archive that `docker save` and its likes wrote. Where the archive is an OCI layout too (Docker 25 and
 * later, BuildKit, ocibuild), the image is the manifest there, byte for byte; else one is made for the layers as they
 * are.
 * @throws IMAGE_NOT_FOUND, ARCHIVE_INVALID, IMAGE_INVALID, BLOB_*
 */
export async function openDockerArchive(
  archive: ArchiveFile,
  { ref, signal }: { readonly ref: Reference | undefined; readonly signal: AbortSignal },
): Promise<{ readonly top: Descriptor; readonly content: ContentSource }> {
  const image = pickImage(await readImages(archive), ref, archive.name);
  const configBytes = await archive.read(memberOf(archive, image.Config));
  const written = await findManifest(archive, { image, config: digestBytes(configBytes), ref, signal });
  if (written !== undefined) return { top: written, content: archiveSource(archive) };
  const { rootfs } = parseConfig(configBytes);
  if (rootfs.diff_ids.length !== image.Layers.length) {
    throw new OcibuildError(
      'IMAGE_INVALID',
      `Cannot read the image of "${archive.name}": it has ${image.Layers.length} layers and ${rootfs.diff_ids.length} diff_ids`,
    );
  }
  const known = new Map<Digest, ArchiveMember | Buffer>();
  const keep = (bytes: Buffer, mediaType: string): Descriptor => {
    const digest = digestBytes(bytes);
    known.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layers: Descriptor[] = [];
  for (const [i, name] of image.Layers.entries()) {
    const member = memberOf(archive, name);
    const layer = await describeLayer(archive, member, {
      name,
      diffId: rootfs.diff_ids[i] as Digest,
      signal,
    });
    known.set(layer.digest, member);
    layers.push(layer);
  }
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    config: keep(configBytes, MEDIA_TYPE.config),
    layers,
  };
  return { top: keep(encodeDocument(manifest), MEDIA_TYPE.manifest), content: archiveSource(archive, known) };
}

async function readImages(archive: ArchiveFile): Promise<readonly SavedImage[]> {
  const member = archive.find('manifest.json');
  if (member === undefined) {
    const hint = archive.find('index.json') === undefined ? {} : { hint: 'it is an oci-archive' };
    throw invalidArchive(archive.name, 'it holds no "manifest.json", so it is no Docker archive', hint);
  }
  let images: unknown;
  try {
    images = JSON.parse((await archive.read(member)).toString());
  } catch (cause) {
    throw invalidArchive(archive.name, 'its manifest.json is not JSON', { cause });
  }
  if (Array.isArray(images) && images.every(isSavedImage)) return images;
  throw invalidArchive(archive.name, 'its manifest.json is no list of images with Config and Layers');
}

function isSavedImage(value: unknown): value is SavedImage {
  if (typeof value !== 'object' || value === null) return false;
  const { Config, RepoTags = null, Layers } = value as Record<string, unknown>;
  const areTexts = (list: unknown): boolean =>
    Array.isArray(list) && list.every((one) => typeof one === 'string');
  return typeof Config === 'string' && areTexts(Layers) && (RepoTags === null || areTexts(RepoTags));
}

function pickImage(images: readonly SavedImage[], ref: Reference | undefined, file: string): SavedImage {
  const [only] = images;
  if (ref === undefined && only !== undefined && images.length === 1) return only;
  const wanted = ref === undefined ? undefined : normalName(withDefaultTag(ref));
  const names = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  const found = images.find(({ RepoTags }) => RepoTags?.some((name) => fullName(name) === wanted));
  if (wanted !== undefined && found !== undefined) return found;
  const what = ref === undefined ? 'without a name' : `"${familiarName(ref)}"`;
  throw new OcibuildError(
    'IMAGE_NOT_FOUND',
    `Cannot find image ${what} in "${file}": it holds ${names.join(', ') || 'no image with a name'}`,
    names[0] === undefined ? {} : { hint: `name one after the path: "docker-archive:${file}:${names[0]}"` },
  );
}

function fullName(name: string): string | undefined {
  try {
    return normalName(withDefaultTag(parseReference(name)));
  } catch {
    return undefined;
  }
}

function memberOf(archive: ArchiveFile, name: string): ArchiveMember {
  const member = archive.find(name);
  if (member !== undefined) return member;
  throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find "${name}" in the image archive "${archive.name}"`, {
    hint: 'the archive is not whole: write it again',
  });
}

interface Sought {
  readonly image: SavedImage;
  readonly config: Digest;
  readonly ref: Reference | undefined;
  readonly signal: AbortSignal;
}

/** The manifest of an image in the layout that the archive also is. Images that differ only in their compression or
 * media types share a config, so layers and name count as well. */
async function findManifest(
  archive: ArchiveFile,
  { image, config, ref, signal }: Sought,
): Promise<Descriptor | undefined> {
  if (archive.find('index.json') === undefined || archive.find('oci-layout') === undefined) return undefined;
  const source = archiveSource(archive);
  const isThere = ({ digest }: Descriptor): boolean => archive.find(blobName(digest)) !== undefined;
  const areLayers = (layers: readonly Descriptor[]): boolean =>
    layers.length === image.Layers.length &&
    layers.every((layer, i) => {
      const name = image.Layers[i] as string;
      return isThere(layer) && (name === blobName(layer.digest) || !name.startsWith('blobs/'));
    });
  const seen = new Set<Digest>();
  // Docker writes an index over platforms of which only one may be in the archive.
  const search = async (entries: readonly Descriptor[], depth: number): Promise<Descriptor | undefined> => {
    for (const entry of entries) {
      if (documentKind(entry.mediaType) === undefined || seen.has(entry.digest) || !isThere(entry)) continue;
      seen.add(entry.digest);
      const document = parseDocument(await source.readBytes(entry, signal), entry.mediaType);
      if (document.kind === 'index') {
        const below = depth < MAX_DEPTH ? await search(document.index.manifests, depth + 1) : undefined;
        if (below !== undefined) return below;
      } else if (document.manifest.config.digest === config && areLayers(document.manifest.layers)) {
        return entry;
      }
    }
    return undefined;
  };
  const { manifests } = await readArchiveIndex(archive);
  const wanted = ref === undefined ? undefined : normalName(withDefaultTag(ref));
  const isNamed = ({ annotations }: Descriptor): boolean =>
    wanted !== undefined && fullName(annotations?.[ANNOTATION.containerdName] ?? '') === wanted;
  const named = manifests.filter(isNamed);
  return search([...named, ...manifests.filter((entry) => !named.includes(entry))], 1);
}

/** Levels of indexes below index.json. */
const MAX_DEPTH = 3;

const LAYER_TYPES: Partial<Record<ArchiveKind, string>> = {
  gzip: MEDIA_TYPE.layerGzip,
  zstd: MEDIA_TYPE.layerZstd,
};

/** A layer as it lies there. A tar's digest is the diffID; that of a compressed one stands in newer names. */
async function describeLayer(
  archive: ArchiveFile,
  { offset, size }: ArchiveMember,
  { name, diffId, signal }: { readonly name: string; readonly diffId: Digest; readonly signal: AbortSignal },
): Promise<Descriptor> {
  const head: Buffer[] = [];
  for await (const bytes of openPart(archive.path, offset, Math.min(size, BLOCK))) head.push(bytes as Buffer);
  const mediaType = LAYER_TYPES[sniffArchive(Buffer.concat(head)) ?? 'tar'];
  if (mediaType === undefined) return { mediaType: MEDIA_TYPE.layerTar, digest: diffId, size };
  const [, hex] = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name) ?? [];
  if (hex !== undefined) return { mediaType, digest: `sha256:${hex}`, size };
  const hash = createHash('sha256');
  for await (const bytes of openPart(archive.path, offset, size)) {
    signal.throwIfAborted();
    hash.update(bytes as Buffer);
  }
  return { mediaType, digest: `sha256:${hash.digest('hex')}`, size };
}
