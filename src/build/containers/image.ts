import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { Descriptor } from '../../image/types.ts';
import type { TransferEvent } from '../../transfer/types.ts';
import type { Engine } from '../engine.ts';
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
  const stored = pull === 'always' ? undefined : fromStore(engine, name, platform);
  if (stored !== undefined && pull !== 'newer') return stored;
  if (pull === 'never') {
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
    if (stored === undefined || !isAway) throw error;
    return stored;
  }
}

/** The image that a build has made, which need not have a name. */
export function builtImage(engine: Engine, name: string, top: Descriptor): ImageDetails {
  return imageBelow(engine, { name, top }, undefined);
}

function fromStore(engine: Engine, name: string, platform: string | undefined): ImageDetails | undefined {
  try {
    return findImage(engine, name, platform);
  } catch (error) {
    // An index of which only another platform was fetched has its documents missing.
    const isMissing =
      isOcibuildError(error) &&
      ['IMAGE_NOT_FOUND', 'IMAGE_PLATFORM_MISSING', 'BLOB_NOT_FOUND'].includes(error.code);
    if (isMissing) return undefined;
    throw error;
  }
}
