import { ANNOTATION, type Compression, type Descriptor, type TarCompression } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { BlobOptions, LayerBlob, LayerRow } from '../types.ts';

/** Names one way to ask for a layer's blob. */
export function formKey(id: LayerId, options: BlobOptions): string {
  const { compression, level, force, mayBeRemote, asIs } = options;
  return `blob ${id} ${compression} ${[level, force, mayBeRemote, asIs].map((each) => each ?? '').join(' ')}`;
}

export type TarBlobOptions = BlobOptions & { readonly compression: TarCompression };

/** What is kept of a layer for what is asked: eStargz is made from the gzip form, for its tar is another one. */
export function tarForm(options: BlobOptions): TarBlobOptions {
  const { compression, level: _level, force: _force, mayBeRemote: _remote, ...rest } = options;
  return compression === 'estargz' ? { ...rest, compression: 'gzip' } : { ...options, compression };
}

/** Layers of base images are named by their diffID, those made here are not. */
export function isBase(id: LayerId): boolean {
  return id.startsWith('sha256:');
}

/** A base image's layers stay as they came unless told otherwise; those made here are packed as asked, so that
 * what an earlier build asked for does not show. Which level a blob was packed with is not known. */
export function mustChange(id: LayerId, { descriptor }: LayerBlob, options: BlobOptions): boolean {
  const differs = compressionOf(descriptor) !== options.compression;
  return isBase(id) ? differs && options.force === true : differs || options.level !== undefined;
}

export function descriptorOf(row: LayerRow): Descriptor | undefined {
  const { mediaType, blobDigest, blobSize, annotations, urls } = row;
  if (mediaType === undefined || blobDigest === undefined || blobSize === undefined) return undefined;
  const about = {
    ...(urls === undefined ? {} : { urls }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  return { mediaType, digest: blobDigest, size: blobSize, ...about };
}

/** Whether a blob that is elsewhere will do. What it was packed with on another machine is taken as it is, but for the
 * kind of compression. */
export function mayStayRemote(id: LayerId, blob: LayerBlob, options: BlobOptions): boolean {
  const { level: _level, ...rest } = options;
  return options.asIs === true || !mustChange(id, blob, isBase(id) ? options : rest);
}

/** @see image-spec layer.md §Distributable, and Docker's own types */
function compressionOf({ mediaType, annotations }: Descriptor): Compression {
  if (annotations?.[ANNOTATION.tocDigest] !== undefined) return 'estargz';
  if (mediaType.endsWith('zstd')) return 'zstd';
  return mediaType.endsWith('gzip') ? 'gzip' : 'uncompressed';
}
