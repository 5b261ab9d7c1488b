import { OcibuildError } from '../errors/error.ts';
import type { Descriptor, ImageConfig } from '../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../layer/layer-id.ts';
import { readCacheConfig } from './cache-config.ts';
import type { CacheConfig } from './types.ts';

/** Field of an image config. Whatever other tools put beside it stays. */
const FIELD = 'ocibuild.cache.v1';

/** Stands for a layer id in the records: -1 is the empty layer. */
type LayerIndex = number;

/** The records of an image's steps; layers are named by their place in the image. */
interface InlineCache {
  readonly salt: string;
  /** Ids of all layers of the image, base first, and when each was made. */
  readonly layers: readonly { readonly id: LayerId; readonly createdMs?: number }[];
  readonly records: readonly (Omit<CacheConfig['records'][number], 'layers'> & {
    readonly layers: readonly LayerIndex[];
  })[];
}

/** Without the cache of an image that it was built on: its indexes mean other layers. */
export function withoutInlineCache(config: ImageConfig): ImageConfig {
  if (config[FIELD] === undefined) return config;
  const { [FIELD]: _, ...rest } = config;
  return rest as ImageConfig;
}

export interface InlineImage {
  /** Layers of the image that have a blob, base first. */
  readonly ids: readonly LayerId[];
  readonly createdMs: (id: LayerId) => number | undefined;
}

/** What an image config gets of a cache: the records whose layers are all in the image. */
export function inlineField(
  { salt, records }: Pick<CacheConfig, 'salt' | 'records'>,
  { ids, createdMs }: InlineImage,
): Record<string, unknown> {
  const indexes = new Map<LayerId, LayerIndex>([[EMPTY_LAYER, -1]]);
  for (const [index, id] of ids.entries()) if (!indexes.has(id)) indexes.set(id, index);
  const inside = records.filter(({ layers }) => layers.every((id) => indexes.has(id)));
  const value: InlineCache = {
    salt,
    layers: ids.map((id) => {
      const time = id.startsWith('sha256:') ? undefined : createdMs(id);
      return { id, ...(time === undefined ? {} : { createdMs: time }) };
    }),
    records: inside
      .map((record) => ({ ...record, layers: record.layers.map((id) => indexes.get(id) ?? -1) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1)),
  };
  return { [FIELD]: value };
}

/**
 * The cache that an image's config holds, or undefined.
 * @param image descriptors of its layers, and its name for messages
 * @throws CACHE_INVALID
 */
export function readInlineCache(
  config: ImageConfig,
  image: { readonly layers: readonly Descriptor[]; readonly name: string },
): CacheConfig | undefined {
  const field = config[FIELD];
  if (field === undefined) return undefined;
  const { layers, records, salt } = Object(field) as Partial<InlineCache>;
  const { diff_ids: diffIds } = config.rootfs;
  if (!Array.isArray(layers) || !Array.isArray(records) || layers.length !== diffIds.length) {
    throw new OcibuildError(
      'CACHE_INVALID',
      `Cannot use the cache in the image "${image.name}": its layers and records do not agree`,
    );
  }
  const ids = layers.map((layer) => Object(layer).id as LayerId);
  const whole = {
    salt,
    layers: layers.flatMap((layer, i) =>
      ids.indexOf(ids[i] ?? '') !== i || String(ids[i]).startsWith('sha256:')
        ? []
        : [{ ...Object(layer), diffId: diffIds[i], descriptor: image.layers[i] }],
    ),
    records: records.map((record) => {
      const indexes: unknown = Object(record).layers;
      return {
        ...Object(record),
        layers: Array.isArray(indexes) ? indexes.map((i) => (i === -1 ? EMPTY_LAYER : ids[i])) : undefined,
      };
    }),
  };
  return readCacheConfig(whole, image.name);
}
