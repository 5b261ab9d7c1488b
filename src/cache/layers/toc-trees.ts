import { ANNOTATION } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { Tree } from '../../layer/types.ts';
import type { LayerOrigin, ReadBlobEnd } from '../types.ts';
import { descriptorOf } from './layer-blob.ts';
import type { LayerBlobs } from './layer-blobs.ts';

/**
 * Trees of eStargz layers that are elsewhere, from their lists of contents: two small requests in place of the layer.
 * Undefined where there is no list, or none that tells all.
 */
export function createTocTrees(
  { rowsOf, isHere }: Pick<LayerBlobs, 'rowsOf' | 'isHere'>,
  readEnd: ReadBlobEnd,
): (id: LayerId, signal: AbortSignal) => Promise<Tree | undefined> {
  return async (id, signal) => {
    const rows = rowsOf(id);
    const row = rows.some(isHere) ? undefined : rows.find(({ origin }) => origin !== undefined);
    const descriptor = row === undefined ? undefined : descriptorOf(row);
    const tocDigest = descriptor?.annotations?.[ANNOTATION.tocDigest];
    if (row === undefined || descriptor === undefined || tocDigest === undefined) return undefined;
    const { readTocTree } = await import('../../layer/estargz/estargz-toc.ts');
    const reader = {
      size: descriptor.size,
      readEnd: (offset: number) => readEnd(row.origin as LayerOrigin, descriptor, { offset, signal }),
    };
    return readTocTree(reader, tocDigest);
  };
}
