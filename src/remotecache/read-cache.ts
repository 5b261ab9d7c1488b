import type { LayerOrigin } from '../cache/types.ts';
import { OcibuildError } from '../errors/error.ts';
import { digestBytes } from '../image/digest.ts';
import { isImageConfig, parseConfig, parseDocument } from '../image/manifest.ts';
import type { Descriptor, Manifest } from '../image/types.ts';
import type { ContentSource } from '../transfer/types.ts';
import { MAX_CONFIG_BYTES, parseCacheConfig } from './cache-config.ts';
import { readInlineCache } from './inline-cache.ts';
import { CACHE_CONFIG_TYPE, type LoadedCache } from './types.ts';

/** What BuildKit calls its own. */
const BUILDKIT_CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0';

export interface CachePlace {
  /** For messages. */
  readonly name: string;
  readonly from: ContentSource;
  readonly origin: LayerOrigin;
  readonly signal: AbortSignal;
}

/**
 * Reads what a manifest or an index holds: a cache in either form, or the caches inside of images.
 * @throws CACHE_INVALID, and what the source throws
 */
export async function readCaches(top: Descriptor, place: CachePlace): Promise<readonly LoadedCache[]> {
  const document = parseDocument(await place.from.readBytes(top, place.signal), top.mediaType);
  if (document.kind === 'manifest') return readManifest(document.manifest, place);
  const { manifests } = document.index;
  const config = manifests.find(({ mediaType }) => isCacheConfig(mediaType, place));
  if (config !== undefined) return [await readConfig(config, place)];
  const images = manifests.filter(({ platform }) => platform !== undefined && platform.os !== 'unknown');
  const found = await Promise.all(
    images.map(async (image) => {
      const inner = parseDocument(await place.from.readBytes(image, place.signal), image.mediaType);
      return inner.kind === 'manifest' ? readManifest(inner.manifest, place) : [];
    }),
  );
  return found.flat();
}

async function readManifest(
  { config, layers }: Manifest,
  place: CachePlace,
): Promise<readonly LoadedCache[]> {
  if (isCacheConfig(config.mediaType, place)) return [await readConfig(config, place)];
  if (!isImageConfig(config.mediaType)) return [];
  const image = parseConfig(await place.from.readBytes(config, place.signal));
  const inline = readInlineCache(image, { layers, name: place.name });
  return inline === undefined ? [] : [{ config: inline, origin: place.origin }];
}

function isCacheConfig(mediaType: string, { name }: CachePlace): boolean {
  if (mediaType === BUILDKIT_CONFIG_TYPE) {
    throw new OcibuildError('CACHE_INVALID', `Cannot use the cache "${name}": BuildKit wrote it`, {
      hint: 'give the caches of ocibuild a name of their own: the keys of the two have nothing in common',
    });
  }
  return mediaType === CACHE_CONFIG_TYPE;
}

/** Larger than any other document, so it is read like a layer. */
async function readConfig(descriptor: Descriptor, place: CachePlace): Promise<LoadedCache> {
  const { digest, size } = descriptor;
  const wrong = (what: string): OcibuildError =>
    new OcibuildError('CACHE_INVALID', `Cannot use the cache "${place.name}": its config ${what}`);
  if (size > MAX_CONFIG_BYTES) throw wrong(`has ${size} B, at most ${MAX_CONFIG_BYTES} B are read`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const stream = await place.from.blob(descriptor, place.signal).open(0, size);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > size) break;
    chunks.push(chunk);
  }
  const whole = Buffer.concat(chunks);
  if (bytes !== size || digestBytes(whole) !== digest) throw wrong('is damaged');
  return { config: parseCacheConfig(whole, place.name), origin: place.origin };
}
