import type { Digest } from '../../image/types.ts';
import { openContent } from '../../layer/content-reader.ts';
import { resolvePath } from '../../layer/tree/tree-view.ts';
import type { Tree, TreeEntry } from '../../layer/types.ts';
import type { ImageFiles } from '../types.ts';

/** The status file of a large Debian image has 3 MB. */
const MAX_BYTES = 64 << 20;

export interface ImageFilesParts {
  /** All layers as one. */
  readonly tree: Tree;
  /** File with the bytes of a file entry. */
  readonly content: (path: string) => string | Buffer;
  readonly layerOf: (path: string) => Digest | undefined;
}

/** The files of an image as they lie in the store. */
export function imageFiles({ tree, content, layerOf }: ImageFilesParts): ImageFiles {
  const entries = new Map(tree.map((entry) => [entry.path, entry]));
  const view = { get: (path: string): TreeEntry | undefined => entries.get(path) };
  return {
    paths: tree.filter(({ type }) => type === 'file' || type === 'hardlink').map(({ path }) => path),
    executables: tree
      .filter(({ type, mode }) => type === 'file' && (mode & 0o111) !== 0)
      .map(({ path }) => path),
    layerOf,
    readPart(path, offset, length) {
      const entry = entries.get(path);
      if (entry?.type !== 'file' || !(offset >= 0 && length > 0 && offset + length <= entry.size))
        return undefined;
      return readBytes(entry, content(path), { offset, length });
    },
    read(path) {
      const found = resolvePath(view, path, { followLast: true })?.entry;
      const inode = found?.type === 'hardlink' ? entries.get(found.link ?? '') : found;
      if (found === undefined || inode?.type !== 'file' || inode.size > MAX_BYTES) return undefined;
      if (inode.size === 0) return '';
      return readBytes(inode, content(found.path), { offset: 0, length: inode.size }).toString('utf8');
    },
  };
}

function readBytes(
  entry: TreeEntry,
  path: string | Buffer,
  { offset, length }: { readonly offset: number; readonly length: number },
): Buffer {
  const bytes = Buffer.alloc(length);
  const reader = openContent(entry, { path });
  try {
    reader.read(bytes, { at: 0, length, position: offset });
  } catch (error) {
    reader.abandon();
    throw error;
  }
  reader.finish();
  return bytes;
}
