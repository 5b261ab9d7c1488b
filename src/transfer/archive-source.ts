import { Readable } from 'node:stream';
import { OcibuildError } from '../errors/error.ts';
import { digestBytes } from '../image/digest.ts';
import {
  blobName,
  checkLayoutVersion,
  findTag,
  type LayoutQuery,
  parseLayoutIndex,
} from '../image/layout.ts';
import { parseDocument } from '../image/manifest.ts';
import type { Descriptor, Index } from '../image/types.ts';
import { invalidArchive } from './archive-error.ts';
import type { ArchiveFile, ArchiveMember } from './archive-file.ts';
import { referrersAmong } from './copy-referrers.ts';
import { openPart } from './file-part.ts';
import type { ContentSource } from './types.ts';

/** Where the blobs of an archive are that have no place of their own in it by their digest. */
export type KnownBlobs = ReadonlyMap<string, ArchiveMember | Buffer>;

/** An archive as the source of a transfer. */
export function archiveSource(archive: ArchiveFile, known: KnownBlobs = new Map()): ContentSource {
  const find = ({ digest, size }: Descriptor): ArchiveMember | Buffer => {
    const found = known.get(digest) ?? archive.find(blobName(digest));
    if (found === undefined) {
      throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find blob "${digest}" in "${archive.name}"`, {
        details: { digest },
        hint: 'the archive is not whole; if it was saved for one platform of an index, choose that with --platform',
      });
    }
    const actual = Buffer.isBuffer(found) ? found.length : found.size;
    if (actual === size) return found;
    throw new OcibuildError(
      'BLOB_SIZE_MISMATCH',
      `Cannot use blob "${digest}" of "${archive.name}": got ${actual} B, expected ${size} B`,
      { details: { digest } },
    );
  };
  return {
    async readBytes(descriptor) {
      const found = find(descriptor);
      if (Buffer.isBuffer(found)) return found;
      const bytes = await archive.read(found);
      const actual = digestBytes(bytes);
      if (actual === descriptor.digest) return bytes;
      throw new OcibuildError(
        'BLOB_DIGEST_MISMATCH',
        `Cannot use blob "${descriptor.digest}" of "${archive.name}": its content has digest "${actual}"`,
        { details: { digest: descriptor.digest } },
      );
    },
    blob: (descriptor) => ({
      open(offset, length) {
        const found = find(descriptor);
        if (Buffer.isBuffer(found)) return Readable.from([found.subarray(offset, offset + length)]);
        return openPart(archive.path, found.offset + offset, length);
      },
      mountFrom: () => undefined,
    }),
  };
}

/** An archive that holds an OCI layout as the source of a transfer. */
export function layoutArchiveSource(archive: ArchiveFile): ContentSource {
  const source = archiveSource(archive);
  const entries = async () => (await readArchiveIndex(archive)).manifests;
  return { ...source, referrers: referrersAmong(entries, source.readBytes) };
}

/** The index.json of an archive that holds an OCI layout. @throws ARCHIVE_INVALID, LAYOUT_INVALID */
export async function readArchiveIndex(archive: ArchiveFile): Promise<Index> {
  const [version, index] = ['oci-layout', 'index.json'].map((name) => {
    const member = archive.find(name);
    if (member !== undefined) return member;
    const hint = archive.find('manifest.json') === undefined ? {} : { hint: 'it is a docker-archive' };
    throw invalidArchive(archive.name, `it holds no "${name}", so it is no OCI archive`, hint);
  }) as [ArchiveMember, ArchiveMember];
  checkLayoutVersion((await archive.read(version)).toString(), archive.name);
  return parseLayoutIndex(await archive.read(index), archive.name);
}

/** The image of an OCI archive that is meant. @throws IMAGE_NOT_FOUND, ARCHIVE_INVALID, LAYOUT_INVALID */
export async function findInArchive(archive: ArchiveFile, query: LayoutQuery): Promise<Descriptor> {
  const { manifests } = await readArchiveIndex(archive);
  const { digest } = query;
  if (digest === undefined) return findTag(archive.name, manifests, query);
  const entry = manifests.find((candidate) => candidate.digest === digest);
  if (entry !== undefined) return entry;
  const member = archive.find(blobName(digest));
  if (member === undefined) {
    throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find image "${digest}" in "${archive.name}"`);
  }
  return { mediaType: parseDocument(await archive.read(member)).mediaType, digest, size: member.size };
}
