import { documentKind } from '../../image/manifest.ts';
import { formatPlatform } from '../../image/platform.ts';
import type { Digest, ImageConfig } from '../../image/types.ts';
import { openEngine } from '../engine.ts';
import { allImages, findImage, type ImageDetails } from './stored-image.ts';

/** One tag of the store. */
export interface StoredImage {
  readonly name: string;
  readonly digest: Digest;
  /** Absent for an index. */
  readonly configDigest?: Digest;
  /** RFC 3339; of the newest where there are several. */
  readonly created: string | undefined;
  /** Bytes of config and layer blobs, each once. */
  readonly sizeBytes: number;
  /** All of an index, joined by commas. */
  readonly platform: string;
}

export interface StoreCommandOptions {
  /** Which image of an index. @default this machine's, or the first */
  readonly platform?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** The images of a store by name. An image whose documents are damaged is left out. */
export async function listImages(
  root: string,
  options: StoreCommandOptions,
): Promise<readonly StoredImage[]> {
  await using engine = await openEngine({ root, ...options, access: 'look' });
  return engine.index.list().flatMap(({ name, descriptor }): StoredImage[] => {
    try {
      const images = allImages(engine, descriptor);
      const [first] = images;
      if (first === undefined) return [];
      const blobs = images.flatMap(({ manifest }) => [manifest.config, ...manifest.layers]);
      const sizes = new Map(blobs.map(({ digest, size }) => [digest, size]));
      const isIndex = documentKind(descriptor.mediaType) === 'index';
      return [
        {
          name,
          digest: descriptor.digest,
          ...(isIndex ? {} : { configDigest: first.manifest.config.digest }),
          created: images
            .flatMap(({ config }) => config.created ?? [])
            .sort()
            .at(-1),
          sizeBytes: [...sizes.values()].reduce((sum, size) => sum + size, 0),
          platform: images.map(({ config }) => platformText(config)).join(', '),
        },
      ];
    } catch {
      return [];
    }
  });
}

function platformText({ os, architecture, variant }: ImageConfig): string {
  return formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** @throws IMAGE_NOT_FOUND, BLOB_* */
export async function inspectImage(
  root: string,
  name: string,
  options: StoreCommandOptions,
): Promise<ImageDetails> {
  await using engine = await openEngine({ root, ...options, access: 'look' });
  return findImage(engine, name, options.platform);
}
