import type { ImageFormat } from '../../image/media-types.ts';
import type { Digest } from '../../image/types.ts';
import { defaultRoot } from '../default-root.ts';
import { copyBetween } from './copy-between.ts';
import { pullImage, pushImage, type TransferOptions } from './image-commands.ts';

/** Where images are, and how a transfer is stopped. */
export interface TransferPlace {
  /** The store. @default as in `build()` */
  readonly root?: string;
  /** `os/arch[/variant]`: one image of an index. */
  readonly platform?: string;
  readonly signal?: AbortSignal;
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** @default process.cwd() */
  readonly cwd?: string;
}

export interface PushOptions extends TransferPlace {
  /** Of the store. */
  readonly name: string;
  /** The name that it gets there, with its registry. @default name */
  readonly to?: string;
}

export interface PullOptions extends TransferPlace {
  readonly name: string;
  /** The whole index with everything below it. @default false */
  readonly allPlatforms?: boolean;
}

export interface CopyOptions extends TransferPlace {
  /** `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]` or `store:REF`. */
  readonly from: string;
  readonly to: string;
  /** Media types to convert to. @default those that the source has */
  readonly format?: ImageFormat;
}

/**
 * Pushes an image of the store to a registry, with the credentials that `docker login` or `ocibuild login` stored.
 * @throws IMAGE_NOT_FOUND, REFERENCE_INVALID, REGISTRY_*, CANCELLED
 */
export async function push({ name, to, ...place }: PushOptions): Promise<{ readonly digest: Digest }> {
  const { root, options } = settled(place);
  const { digest } = await pushImage(root, { name, ...(to === undefined ? {} : { to }) }, options);
  return { digest };
}

/** Brings an image from a registry into the store. @throws REFERENCE_INVALID, REGISTRY_*, CANCELLED */
export async function pull({
  name,
  allPlatforms = false,
  ...place
}: PullOptions): Promise<{ readonly digest: Digest }> {
  const { root, options } = settled(place);
  const { digest } = await pullImage(root, name, { ...options, allPlatforms });
  return { digest };
}

/**
 * Copies an image between registries, layouts, archives and the store, byte for byte unless `format` is another.
 * @throws USAGE_INVALID, IMAGE_NOT_FOUND, REGISTRY_*, CANCELLED
 */
export function copy({ from, to, format, cwd, ...place }: CopyOptions): Promise<{ readonly digest: Digest }> {
  const { root, options } = settled(place);
  const how = { ...options, cwd: cwd ?? process.cwd(), ...(format === undefined ? {} : { format }) };
  return copyBetween(root, { from, to }, how);
}

function settled({ root, platform, env = process.env, signal }: TransferPlace): {
  readonly root: string;
  readonly options: TransferOptions;
} {
  return {
    root: root ?? defaultRoot(env),
    options: {
      ...{ env, signal: signal ?? new AbortController().signal },
      ...(platform === undefined ? {} : { platform }),
    },
  };
}
