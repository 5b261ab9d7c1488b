import type { BlobOptions } from '../../cache/types.ts';
import type { Output } from '../options.ts';

/** An output that is an image; the others are file systems or nothing. */
export type ImageOutput = Output & { type: 'store' | 'oci' | 'docker' | 'registry' };

const IMAGE_TYPES: readonly Output['type'][] = ['store', 'oci', 'docker', 'registry'];

export function isImageOutput(output: Output): output is ImageOutput {
  return IMAGE_TYPES.includes(output.type);
}

/** An image output whose layers are the steps' own, so that they can be packed while steps run. */
export function isPackedOutput(output: Output): output is ImageOutput {
  return isImageOutput(output) && output.rewriteTimestamp !== true;
}

/** How an image output wants its layers. */
export function blobOptions(output: ImageOutput): BlobOptions {
  const { compression = 'gzip', compressionLevel: level, forceCompression: force } = output;
  return {
    compression,
    ...(level === undefined ? {} : { level }),
    ...(force === true ? { force } : {}),
    // The registry may have them already, or get them from a repository beside.
    ...(output.type === 'registry' ? { mayBeRemote: true } : {}),
  };
}
