import { OcibuildError } from '../errors/error.ts';
import { documentKind, isImageConfig, parseConfig, parseDocument } from '../image/manifest.ts';
import { formatPlatform, parsePlatform, selectPlatform } from '../image/platform.ts';
import type { Descriptor, Platform } from '../image/types.ts';
import type { ContentSource } from './types.ts';

/**
 * The image for a platform: one of an index, or what is no index and fits.
 * @throws IMAGE_PLATFORM_MISSING, PLATFORM_INVALID
 */
export async function choosePlatform(
  top: Descriptor,
  source: ContentSource,
  { platform, signal }: { readonly platform: string | Platform; readonly signal: AbortSignal },
): Promise<Descriptor> {
  const wanted = typeof platform === 'string' ? parsePlatform(platform) : platform;
  if (documentKind(top.mediaType) !== 'index') {
    if (typeof platform === 'string') await checkPlatform(top, source, { wanted, signal });
    return top;
  }
  const document = parseDocument(await source.readBytes(top, signal), top.mediaType);
  if (document.kind !== 'index') return top;
  const { manifests } = document.index;
  const platforms = manifests.map((entry) => entry.platform);
  const found = manifests[selectPlatform(platforms, wanted)];
  if (found !== undefined) return found;
  throw missing(`the index "${top.digest}"`, wanted, platforms);
}

/** The image of an index that has just one, attestations aside; anything else as it is. */
export async function onlyImage(
  top: Descriptor,
  source: ContentSource,
  signal: AbortSignal,
): Promise<Descriptor> {
  if (documentKind(top.mediaType) !== 'index') return top;
  const document = parseDocument(await source.readBytes(top, signal), top.mediaType);
  if (document.kind !== 'index') return top;
  const [image, ...others] = document.index.manifests.filter(({ platform }) => platform?.os !== 'unknown');
  return image === undefined || others.length > 0 ? top : image;
}

async function checkPlatform(
  top: Descriptor,
  source: ContentSource,
  { wanted, signal }: { readonly wanted: Platform; readonly signal: AbortSignal },
): Promise<void> {
  const document = parseDocument(await source.readBytes(top, signal), top.mediaType);
  if (document.kind !== 'manifest' || !isImageConfig(document.manifest.config.mediaType)) return;
  const config = parseConfig(await source.readBytes(document.manifest.config, signal));
  if (selectPlatform([config], wanted) < 0) throw missing(`the image "${top.digest}"`, wanted, [config]);
}

function missing(
  what: string,
  wanted: Platform,
  platforms: readonly (Platform | undefined)[],
): OcibuildError {
  const has = platforms
    .flatMap((one) => (one === undefined || one.os === 'unknown' ? [] : [formatPlatform(one)]))
    .join(', ');
  return new OcibuildError(
    'IMAGE_PLATFORM_MISSING',
    `Cannot use ${what} for ${formatPlatform(wanted)}: it has ${has || 'no platform'}`,
  );
}
