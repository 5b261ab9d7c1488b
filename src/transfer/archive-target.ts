import { type Archive, writeArchive } from '../exporter/archive.ts';
import { type ExportTarget, writeTarget } from '../exporter/target.ts';
import { blobName } from '../image/layout.ts';
import { encodeDocument } from '../image/manifest.ts';
import { type Descriptor, type Digest, MEDIA_TYPE } from '../image/types.ts';
import { checkSavable, saveFiles } from './docker-save.ts';
import { moveBlob } from './move-blob.ts';
import type { ImageTarget } from './types.ts';

export interface ArchiveTargetOptions {
  /** What index.json gets for the image. */
  entries(top: Descriptor): readonly Descriptor[];
  /** Adds what `docker load` reads: the image under these names, as people write them. One image, no index. */
  readonly docker?: { readonly names: readonly string[] };
  /** Times of the archive's entries. @default 0 */
  readonly epochSec?: number;
  readonly signal: AbortSignal;
}

const LAYOUT_FILE = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/**
 * One tar in the form of an OCI layout as a target, written in one pass. Equal images with equal names give equal
 * bytes; blobs are verified while they are copied; a file appears whole or not at all.
 * @throws BLOB_*, DISK_FULL, EXPORT_TARGET_INVALID, EXPORT_FAILED; IMAGE_INVALID for an index in Docker's form
 * @see image-spec image-layout.md
 */
export function archiveTarget(target: ExportTarget, options: ArchiveTargetOptions): ImageTarget {
  const { signal, docker, epochSec = 0, entries } = options;
  return async (top, fill) => {
    if (docker !== undefined) checkSavable(top);
    await writeTarget(target, signal, (sink) =>
      writeArchive(sink, epochSec, async (archive) => {
        await archive.file('oci-layout', LAYOUT_FILE);
        await archive.dir('blobs');
        await archive.dir('blobs/sha256');
        const topBytes = await fillArchive(archive, top, fill);
        const more = docker === undefined ? [] : saveFiles(top, topBytes, docker.names);
        for (const [name, bytes] of more) await archive.file(name, bytes);
        // Last: a stream that was cut off has no index and so is no layout.
        const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: entries(top) } as const;
        await archive.file('index.json', encodeDocument(index));
      }),
    );
  };
}

/** Puts all parts; gives the bytes of the topmost document. */
async function fillArchive(
  archive: Archive,
  top: Descriptor,
  fill: Parameters<ImageTarget>[1],
): Promise<Buffer> {
  let topBytes: Buffer = Buffer.alloc(0);
  // Referrers share their empty config, and an archive may hold each name once.
  const written = new Set<Digest>();
  await fill({
    inOrder: true,
    async putBlob(descriptor, blob, options) {
      const { digest, size } = descriptor;
      if (written.has(digest)) return 'exists';
      written.add(digest);
      await archive.stream(blobName(digest), size, (sink) =>
        moveBlob(descriptor, blob, { ...options, sink }),
      );
      return 'copied';
    },
    async putDocument({ digest }, bytes) {
      if (digest === top.digest) topBytes = bytes;
      if (written.has(digest)) return;
      written.add(digest);
      await archive.file(blobName(digest), bytes);
    },
  });
  return topBytes;
}
