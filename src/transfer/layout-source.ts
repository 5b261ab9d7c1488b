import type { Layout } from '../image/layout.ts';
import { referrersAmong } from './copy-referrers.ts';
import { openBlobPart } from './file-part.ts';
import type { ContentSource } from './types.ts';

/** A layout directory as the source of a transfer. */
export function layoutSource(layout: Layout): ContentSource {
  const readBytes: ContentSource['readBytes'] = (descriptor, signal) =>
    layout.readBlob(descriptor, { signal });
  return {
    readBytes,
    referrers: referrersAmong(async () => (await layout.readIndex()).manifests, readBytes),
    blob(descriptor) {
      const file = layout.blobPath(descriptor.digest);
      return {
        file,
        open: (offset, length) => openBlobPart(file, descriptor, { offset, length }),
        mountFrom: () => undefined,
      };
    },
  };
}
