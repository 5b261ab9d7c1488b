import { open } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { ReadBlobEnd } from '../../cache/types.ts';
import { openLayout } from '../../image/layout.ts';
import { parseReference } from '../../image/reference.ts';
import type { BlobRegistry } from './origins.ts';

/** Reads the end of a layer's blob where the layer is. The caller checks what comes. */
export function createEndReader(registry: () => Promise<BlobRegistry>): ReadBlobEnd {
  return async (origin, descriptor, { offset, signal }) => {
    if (origin.type === 'layout') {
      const layout = await openLayout(origin.dir);
      await using file = await open(layout.blobPath(descriptor.digest));
      const bytes = Buffer.alloc(descriptor.size - offset);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
      return bytes.subarray(0, bytesRead);
    }
    if (origin.type === 'registry') {
      const fetcher = (await registry()).fetcher(parseReference(origin.name));
      return buffer(await fetcher.fetchBlob(descriptor, { offset, signal }));
    }
    // Elsewhere the whole layer is read.
    return Buffer.alloc(0);
  };
}
