import { Readable } from 'node:stream';
import { OcibuildError } from '../errors/error.ts';
import type { ExportSet } from '../exporter/types.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import { openBlobPart } from './file-part.ts';
import type { ContentSource, SourceBlob } from './types.ts';

/** Images that were just made as the source of a transfer: layers are files, everything else is in memory. */
export function imageSetSource({ top, index, images, attestations = [] }: ExportSet): ContentSource {
  const documents = new Map<Digest, Buffer>();
  const layers = new Map<Digest, string>();
  if (index !== undefined) documents.set(top.digest, index);
  for (const image of images) {
    documents.set(image.manifest.digest, image.manifestBytes);
    documents.set(image.configDescriptor.digest, image.configBytes);
    for (const { descriptor, blobPath } of image.layers) layers.set(descriptor.digest, blobPath);
  }
  for (const { manifest, manifestBytes, configDescriptor, configBytes, layers: statements } of attestations) {
    documents.set(manifest.digest, manifestBytes);
    documents.set(configDescriptor.digest, configBytes);
    for (const { descriptor, bytes } of statements) documents.set(descriptor.digest, bytes);
  }
  const missing = ({ digest }: Descriptor): OcibuildError =>
    new OcibuildError('INTERNAL', `Cannot find "${digest}" in the images to export`);
  return {
    async readBytes(descriptor) {
      const bytes = documents.get(descriptor.digest);
      if (bytes === undefined) throw missing(descriptor);
      return bytes;
    },
    blob(descriptor): SourceBlob {
      const file = layers.get(descriptor.digest);
      const bytes = documents.get(descriptor.digest);
      if (file !== undefined) {
        return {
          file,
          open: (offset, length) => openBlobPart(file, descriptor, { offset, length }),
          mountFrom: () => undefined,
        };
      }
      if (bytes === undefined) throw missing(descriptor);
      return {
        open: (offset, length) => Readable.from([bytes.subarray(offset, offset + length)]),
        mountFrom: () => undefined,
      };
    },
  };
}
