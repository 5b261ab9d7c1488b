import { closeSync, mkdirSync, openSync, readSync } from 'node:fs';
import { constants, gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { StoreRoot } from '../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { sniffArchive } from '../layer/archive-sniff.ts';
import { fsPath } from '../layer/path-bytes.ts';
import { createTreeView } from '../layer/tree-view.ts';
import type { Tree } from '../layer/types.ts';
import type { PlanSource } from '../solver/ops/file-plan.ts';
import type { ArchiveReader } from '../solver/ops/types.ts';

export interface ArchiveStore extends ArchiveReader {
  /** Throws away what was unpacked. */
  close(): void;
}

/** Enough of a compressed file to find the first tar header in it. */
const HEAD_BYTES = 64 * 1024;

/** Unpacks the archives of ADD into directories that live as long as the build. Which files are archives is told
 * by their content, as Docker does: a gzip file that holds no tar is copied as it is. */
export function createArchiveReader(root: StoreRoot): ArchiveStore {
  const directories: string[] = [];
  return {
    async open(file, signal): Promise<PlanSource | undefined> {
      if (!isTar(file)) return undefined;
      const dest = root.tempPath();
      mkdirSync(dest, { mode: 0o700 });
      directories.push(dest);
      const { unpackLayer } = await import('../layer/unpack-layer.ts');
      try {
        // Owners and devices are in the tree; the directory lends bytes, and takes no rights to be made.
        const how = { dest, opaqueXattr: 'user.overlay.opaque', contentOnly: true, signal } as const;
        const { tree } = await unpackLayer({ path: String(file) }, how);
        checkNames(file, tree);
        const view = createTreeView([tree]);
        return { view, content: ({ path }) => ({ path: fsPath(`${dest}/${view.inodePath(path)}`) }) };
      } catch (error) {
        if (!isOcibuildError(error) || error.code !== 'LAYER_INVALID') throw error;
        throw new OcibuildError('ARCHIVE_INVALID', `Cannot unpack "${String(file)}": ${error.message}`, {
          cause: error,
        });
      }
    },
    close() {
      for (const directory of directories.splice(0)) root.discard(directory);
    },
  };
}

/** What reads as a deletion in a layer is a file in any other archive, and a layer cannot hold that. */
function checkNames(file: string | Buffer, tree: Tree): void {
  const marker = tree.find(({ type }) => type === 'whiteout' || type === 'opaque');
  if (marker === undefined) return;
  throw new OcibuildError(
    'ARCHIVE_INVALID',
    `Cannot unpack "${String(file)}": it holds a file ".wh.…" that would delete what "/${marker.path}" holds`,
  );
}

function isTar(file: string | Buffer): boolean {
  const head = readHead(file);
  const kind = sniffArchive(head);
  switch (kind) {
    case undefined:
      return false;
    case 'tar':
      return true;
    case 'gzip':
      return sniffArchive(partly(() => gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH }))) === 'tar';
    case 'zstd':
      return (
        sniffArchive(partly(() => zstdDecompressSync(head, { finishFlush: constants.ZSTD_e_flush }))) ===
        'tar'
      );
    case 'bzip2':
    case 'xz':
      throw new OcibuildError(
        'DOCKERFILE_UNSUPPORTED',
        `Cannot unpack "${String(file)}": it is compressed with ${kind}, this version unpacks tar, gzip and zstd`,
        { hint: 'copy it as it is with COPY, or pack it with gzip or zstd' },
      );
  }
}

/** A file that only begins like a compressed one is no archive. */
function partly(decompress: () => Buffer): Buffer {
  try {
    return decompress();
  } catch {
    return Buffer.alloc(0);
  }
}

function readHead(file: string | Buffer): Buffer {
  const fd = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(HEAD_BYTES);
    return buffer.subarray(0, readSync(fd, buffer, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}
