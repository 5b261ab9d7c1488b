import type { BlobOptions } from '../cache/types.ts';
import type { Output } from './options.ts';

/** Outputs that are images; the others are file systems or nothing. */
export function isImageOutput(output: Output): boolean {
  return output.type === 'store' || output.type === 'oci' || output.type === 'registry';
}

/** How an image output wants its layers. */
export function blobOptions(output: Output): BlobOptions {
  if (output.type !== 'oci' && output.type !== 'registry') return { compression: 'gzip' };
  const { compression = 'gzip', compressionLevel: level, forceCompression: force } = output;
  return {
    compression,
    ...(level === undefined ? {} : { level }),
    ...(force === true ? { force } : {}),
    // The registry may have them already, or get them from a repository beside.
    ...(output.type === 'registry' ? { mayBeRemote: true } : {}),
  };
}
