import type { Compression, Descriptor } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import type { BlobOptions, LayerBlob, LayerRow } from './types.ts';

/** Names one way to ask for a layer's blob. */
export function formKey(id: LayerId, { compression, level, force, mayBeRemote }: BlobOptions): string {
  return `blob ${id} ${compression} ${level ?? ''} ${force ?? ''} ${mayBeRemote ?? ''}`;
}

/** Layers of base images are named by their diffID, those made here are not. */
export function isBase(id: LayerId): boolean {
  return id.startsWith('sha256:');
}

/** A base image's layers stay as they came unless told otherwise; those made here are packed as asked, so that
 * what an earlier build asked for does not show. Which level a blob was packed with is not known. */
export function mustChange(id: LayerId, { descriptor }: LayerBlob, options: BlobOptions): boolean {
  const differs = compressionOf(descriptor.mediaType) !== options.compression;
  return isBase(id) ? differs && options.force === true : differs || options.level !== undefined;
}

export function descriptorOf({ mediaType, blobDigest, blobSize }: LayerRow): Descriptor | undefined {
  if (mediaType === undefined || blobDigest === undefined || blobSize === undefined) return undefined;
  return { mediaType, digest: blobDigest, size: blobSize };
}

/** @see image-spec layer.md §Distributable, and Docker's own types */
function compressionOf(mediaType: string): Compression {
  if (mediaType.endsWith('zstd')) return 'zstd';
  return mediaType.endsWith('gzip') ? 'gzip' : 'uncompressed';
}
