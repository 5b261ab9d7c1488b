import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { Descriptor } from '../../image/types.ts';
import type { TransferEvent } from '../../transfer/types.ts';
import type { Engine } from '../engine.ts';
import { withStoredPlatforms } from '../images/stored-elsewise.ts';
import { findImage, type ImageDetails, imageBelow } from '../images/stored-image.ts';

export interface RunImageOptions {
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** @default missing */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never';
  readonly platform?: string;
  readonly onEvent?: (event: TransferEvent) => void;
}

/**
 * The image to run: of the store, or pulled.
 * @throws IMAGE_NOT_FOUND with `never`, IMAGE_PLATFORM_MISSING, REGISTRY_*
 */
export async function imageToRun(
  engine: Engine,
  name: string,
  options: RunImageOptions,
): Promise<ImageDetails> {
  const { pull = 'missing', platform } = options;
  const found = pull === 'always' ? undefined : fromStore(engine, name, platform);
  const [stored, lacks] = found instanceof OcibuildError ? [undefined, found] : [found, undefined];
  if (stored !== undefined && pull !== 'newer') return stored;
  if (pull === 'never') {
    if (lacks !== undefined) throw lacks;
    throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find the image "${name}" in the store`, {
      hint: `ocibuild pull ${name}`,
    });
  }
  const { pullImage } = await import('../images/image-commands.ts');
  try {
    const { root, env, signal, onEvent } = options;
    const { descriptor } = await pullImage(root, name, {
      ...{ env, signal },
      ...(platform === undefined ? {} : { platform }),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    return imageBelow(engine, { name, top: descriptor }, platform);
  } catch (error) {
    // What is here is better than nothing, when only the look for a newer one fails.
    const isAway = isOcibuildError(error) && error.code === 'REGISTRY_UNREACHABLE';
    if (stored !== undefined && isAway) return stored;
    const has = (lacks?.details.platforms ?? []) as readonly string[];
    throw withStoredPlatforms(error, name, has);
  }
}

/** The image that a build has made, which need not have a name. */
export function builtImage(engine: Engine, name: string, top: Descriptor): ImageDetails {
  return imageBelow(engine, { name, top }, undefined);
}

/** The error where the image is here for other platforms, undefined where it is not here. */
function fromStore(
  engine: Engine,
  name: string,
  platform: string | undefined,
): ImageDetails | OcibuildError | undefined {
  try {
    return findImage(engine, name, platform);
  } catch (error) {
    // An index of which only another platform was fetched has its documents missing.
    if (!isOcibuildError(error)) throw error;
    if (error.code === 'IMAGE_PLATFORM_MISSING') return error;
    if (['IMAGE_NOT_FOUND', 'BLOB_NOT_FOUND'].includes(error.code)) return undefined;
    throw error;
  }
}
