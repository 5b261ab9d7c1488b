import { createReadStream, mkdirSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { StoreRoot } from '../../cache/types.ts';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import { type ArchiveKind, sniffArchive } from '../../layer/compression/archive-sniff.ts';
import { decompressorFor } from '../../layer/compression/decompress.ts';
import { decodeName, fsPath } from '../../layer/path-bytes.ts';
import { createTreeView } from '../../layer/tree/tree-view.ts';
import type { Tree, TreeEntry } from '../../layer/types.ts';
import type { OpenedArchive } from '../../solver/ops/file-plan.ts';
import type { ArchiveReader } from '../../solver/ops/types.ts';

export interface ArchiveStore extends ArchiveReader {
  /** Throws away what was unpacked. */
  close(): void;
}

/** Enough to tell a tar by its first header. */
const HEAD_BYTES = 512;

/** Unpacks the archives of ADD into directories that live as long as the build. Which files are archives is told
 * by their content, as Docker does: a compressed file that holds no tar is copied as it is. */
export function createArchiveReader(root: StoreRoot): ArchiveStore {
  const directories: string[] = [];
  return {
    async open(file, signal, name = String(file)): Promise<OpenedArchive | undefined> {
      const isArchive = await isTar(file, signal).catch((error: unknown) => {
        throw archiveError(error, name);
      });
      if (!isArchive) return undefined;
      const dest = root.tempPath();
      mkdirSync(dest, { mode: 0o700 });
      directories.push(dest);
      const { unpackLayer } = await import('../../layer/unpack-layer.ts');
      const path = typeof file === 'string' ? file : decodeName(file);
      try {
        // Owners and devices are in the tree; the directory lends bytes, and takes no rights to be made.
        const how = { opaqueXattr: 'user.overlay.opaque', contentOnly: true, foreign: true } as const;
        const { tree } = await unpackLayer({ path }, { dest, size: statSync(file).size, ...how, signal });
        checkNames(name, tree);
        const view = createTreeView([tree]);
        const links = foreignLinks(tree);
        return {
          view,
          foreignLinks: new Map([...links].map(([at, { link = '' }]) => [at, link])),
          entryAt: (at) => links.get(at) ?? view.get(at),
          content: ({ path: at }) => ({ path: fsPath(`${dest}/${view.inodePath(at)}`) }),
        };
      } catch (error) {
        root.discard(dest);
        directories.splice(directories.indexOf(dest), 1);
        throw archiveError(error, name);
      }
    },
    close() {
      for (const directory of directories.splice(0)) root.discard(directory);
    },
  };
}

/** Hard links to files that the archive does not hold: they are at the destination, or nowhere. */
function foreignLinks(tree: Tree): ReadonlyMap<string, TreeEntry> {
  const links = tree.filter(({ type }) => type === 'hardlink');
  if (links.length === 0) return new Map();
  const paths = new Set(tree.map(({ path }) => path));
  return new Map(links.flatMap((entry) => (paths.has(entry.link ?? '') ? [] : [[entry.path, entry]])));
}

/** What reads as a deletion in a layer is a file in any other archive, and a layer cannot hold that. */
function checkNames(name: string, tree: Tree): void {
  const marker = tree.find(({ type }) => type === 'whiteout' || type === 'opaque');
  if (marker === undefined) return;
  throw new OcibuildError(
    'ARCHIVE_INVALID',
    `Cannot unpack "${name}": it holds a file ".wh.…" that would delete what "/${marker.path}" holds`,
  );
}

function archiveError(error: unknown, name: string): unknown {
  if (!isOcibuildError(error) || error.code !== 'LAYER_INVALID') return error;
  const { details } = error;
  const hint =
    details.unsupported === true ? { hint: 'pack it anew with `xz`, or copy it as it is with COPY' } : {};
  const why = error.message.replace(/^Cannot (?:read the layer archive|decompress the layer): /, '');
  return new OcibuildError('ARCHIVE_INVALID', `Cannot unpack "${name}": ${why}`, {
    cause: error,
    ...hint,
  });
}

async function isTar(file: string | Buffer, signal: AbortSignal): Promise<boolean> {
  const kind = sniffArchive(await readHead(file, undefined, signal));
  if (kind === undefined || kind === 'tar') return kind === 'tar';
  return sniffArchive(await readHead(file, kind, signal)) === 'tar';
}

/** What a decompressor says to bytes that are not its own. */
function isDamage(error: unknown): boolean {
  if (isOcibuildError(error)) return error.code === 'LAYER_INVALID';
  return error instanceof Error && 'code' in error && /^(?:Z_|ZSTD_|ERR_ZSTD)/.test(String(error.code));
}

/** The first bytes of a file, or of what it unpacks to. A file that only begins like a compressed one has none. */
async function readHead(
  file: string | Buffer,
  kind: ArchiveKind | undefined,
  signal: AbortSignal,
): Promise<Buffer> {
  const found: Buffer[] = [];
  let length = 0;
  const take = async (source: AsyncIterable<Buffer>): Promise<void> => {
    for await (const bytes of source) {
      found.push(bytes.subarray(0, HEAD_BYTES - length));
      length += found.at(-1)?.length ?? 0;
      if (length >= HEAD_BYTES) return;
    }
  };
  const stream = createReadStream(file);
  try {
    const decompressor = await decompressorFor(kind);
    if (decompressor === undefined) await take(stream);
    else await pipeline(stream, decompressor, take, { signal });
  } catch (error) {
    throwIfAborted(signal);
    // A pipeline whose end is reached early calls the rest of it aborted.
    if (length < HEAD_BYTES && !isDamage(error)) throw error;
    if (isOcibuildError(error) && error.details.unsupported === true) throw error;
  } finally {
    stream.destroy();
  }
  return Buffer.concat(found);
}
