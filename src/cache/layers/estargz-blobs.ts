import { join } from 'node:path';
import { ANNOTATION, type Descriptor, type Digest } from '../../image/types.ts';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import { readJson } from '../../util/read-json.ts';
import type { ContentStore, LayerBlob, StoreRoot } from '../types.ts';

/** What a conversion gave, kept beside the trees. */
interface Made {
  readonly from: Digest;
  /** What decides the bytes beside the source. */
  readonly codec: string;
  readonly diffId: Digest;
  readonly descriptor: Descriptor;
}

/** Gives a blob's content as eStargz. The tar is another one, so it is no further form of the layer: what the layer
 * is known by stays, and only images that ask for it name the other. */
export type EstargzBlobs = (
  plain: LayerBlob,
  options: { readonly level?: number | undefined; readonly signal: AbortSignal },
) => Promise<LayerBlob>;

export function createEstargzBlobs(root: StoreRoot, content: ContentStore): EstargzBlobs {
  return async (plain, { level, signal }) => {
    const from = plain.descriptor.digest;
    if (plain.descriptor.annotations?.[ANNOTATION.tocDigest] !== undefined) return plain;
    const codec = `${level ?? ''}-${process.versions.zlib}-${process.arch}-1`;
    const note = join(root.treesDir, `${from.replace(':', '-')}.estargz.json`);
    const known = readJson<Made>(note);
    if (known !== undefined && known.from === from && known.codec === codec && isHere(known.descriptor)) {
      return blobOf(known);
    }
    const { recompressAsEstargz } = await import('../../layer/compression/recompress.ts');
    const dest = content.tempFile();
    const made = await recompressAsEstargz(plain.path, dest, {
      from: plain.descriptor,
      ...(level === undefined ? {} : { level }),
      signal,
    });
    content.ingest(dest, made.descriptor.digest, made.descriptor.size);
    const text = JSON.stringify({ from, codec, ...made } satisfies Made);
    writeFileAtomic(note, Buffer.from(text), { temp: root.tempPath() });
    return blobOf(made);
  };

  function isHere({ digest, size }: Descriptor): boolean {
    return content.stat(digest) === size;
  }

  function blobOf({ descriptor, diffId }: Pick<Made, 'descriptor' | 'diffId'>): LayerBlob {
    return { descriptor, diffId, path: content.path(descriptor.digest) };
  }
}
