import { digestBytes } from '../image/digest.ts';
import { encodeDocument } from '../image/manifest.ts';
import { mediaTypeIn } from '../image/media-types.ts';
import { type Descriptor, MEDIA_TYPE } from '../image/types.ts';
import { openBytes } from '../transfer/file-part.ts';
import type { ContentTarget } from '../transfer/types.ts';
import { blobsOf, putBlobs } from './blob-parts.ts';
import { encodeCacheConfig } from './cache-config.ts';
import { CACHE_CONFIG_TYPE, type CacheConfig, type CacheWriteOptions } from './types.ts';

export interface DocumentForm {
  /** A manifest whose layers are the blobs; else an index that lists them, as older BuildKits write it. */
  readonly imageManifest: boolean;
  readonly ociMediaTypes: boolean;
}

/** A cache in the form of an image: its config, and the document on top that makes registries keep the blobs. */
export interface CacheDocuments {
  readonly config: Descriptor;
  readonly configBytes: Buffer;
  /** Each once. */
  readonly blobs: readonly Descriptor[];
  readonly top: Descriptor;
  readonly topBytes: Buffer;
}

/** The same config in the same form is the same bytes. */
export function makeCacheDocuments(config: CacheConfig, form: DocumentForm): CacheDocuments {
  const format = form.ociMediaTypes ? 'oci' : 'docker';
  const inFormat = ({ mediaType, digest, size }: Descriptor): Descriptor => ({
    mediaType: mediaTypeIn(format, mediaType) ?? mediaType,
    ...{ digest, size },
  });
  const blobs = blobsOf(config)
    .map(inFormat)
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const configBytes = encodeCacheConfig(config);
  const about = describeBytes(CACHE_CONFIG_TYPE, configBytes);
  const mediaType = topType(form, format);
  const topBytes = encodeDocument(
    form.imageManifest
      ? { schemaVersion: 2, mediaType, config: about, layers: blobs }
      : { schemaVersion: 2, mediaType, manifests: [...blobs, about] },
  );
  return { config: about, configBytes, blobs, top: describeBytes(mediaType, topBytes), topBytes };
}

function topType({ imageManifest }: DocumentForm, format: 'oci' | 'docker'): string {
  const oci = imageManifest ? MEDIA_TYPE.manifest : MEDIA_TYPE.index;
  return mediaTypeIn(format, oci) ?? oci;
}

function describeBytes(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: digestBytes(bytes), size: bytes.length };
}

/** Blobs side by side, then the config, then the document that names them. */
export async function putCacheDocuments(
  documents: CacheDocuments,
  to: ContentTarget,
  options: CacheWriteOptions,
): Promise<void> {
  const { blobs, config, configBytes, top, topBytes } = documents;
  const { signal, onProgress } = options;
  await putBlobs(blobs, options, async (descriptor, blob, each) => {
    await to.putBlob(descriptor, blob, each);
  });
  onProgress(config, 0);
  const blob = { open: openBytes(configBytes), mountFrom: () => undefined };
  await to.putBlob(config, blob, { signal, onProgress: (bytes) => onProgress(config, bytes) });
  onProgress(config, config.size);
  await to.putDocument(top, topBytes, signal);
  onProgress(top, top.size);
}
