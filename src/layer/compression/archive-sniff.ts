import { BLOCK } from '../tar/tar-header.ts';
import { checksumMatches, isZeroBlock } from '../tar/tar-numbers.ts';

/** What ADD can unpack, and what it has to recognise as an archive. */
export type ArchiveKind = 'gzip' | 'zstd' | 'tar' | 'bzip2' | 'xz';

const MAGICS: readonly (readonly [ArchiveKind, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** Kind of archive by its first bytes, never by its name; a tar needs its first 512. */
export function sniffArchive(firstBytes: Uint8Array): ArchiveKind | undefined {
  for (const [kind, magic] of MAGICS) if (magic.every((byte, i) => firstBytes[i] === byte)) return kind;
  return isTar(firstBytes) ? 'tar' : undefined;
}

function isTar(bytes: Uint8Array): boolean {
  if (bytes.length < BLOCK) return false;
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, BLOCK);
  if (isZeroBlock(block)) return false;
  try {
    return checksumMatches(block);
  } catch {
    // The checksum field of something else is rarely octal.
    return false;
  }
}
