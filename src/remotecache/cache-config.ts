import { OcibuildError } from '../errors/error.ts';
import { isDigest } from '../image/digest.ts';
import type { Descriptor } from '../image/types.ts';
import { EMPTY_LAYER } from '../layer/layer-id.ts';
import type { CacheConfig, CachedLayer, CachedMount, CachedRecord } from './types.ts';

/** A config of ten thousand steps has about 10 MiB. */
export const MAX_CONFIG_BYTES: number = 64 << 20;

/** Layers of base images are named by their diffID. */
const BASE_LAYER = /^sha256:/;
/** Ids become names of files and rows. */
const LAYER_ID = /^(?:run|files)-[0-9a-f]{40,64}$/;

type Json = Readonly<Record<string, unknown>>;

/** The config as bytes: the same content is the same bytes. */
export function encodeCacheConfig(config: CacheConfig): Buffer {
  const by = <T>(list: readonly T[], key: (one: T) => string): T[] =>
    [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const { salt, layers, records, mounts = [] } = config;
  const document = {
    salt,
    layers: by(layers, ({ id }) => id).map(layerFields),
    records: by(records, ({ key }) => key).map(({ key, kind, layers: ids, name, ingredients }) => ({
      ...{ key, kind, layers: ids, name },
      ingredients: ingredients.map((each) => ({ name: each.name, value: each.value })),
    })),
    ...(mounts.length === 0
      ? {}
      : {
          mounts: by(mounts, ({ id, base }) => JSON.stringify([id, base])).map(
            ({ id, base, diffId, descriptor }) => ({ id, base, diffId, descriptor: bare(descriptor) }),
          ),
        }),
  };
  return Buffer.from(JSON.stringify(document));
}

function layerFields({ id, diffId, descriptor, tarSize, createdMs }: CachedLayer): CachedLayer {
  return {
    ...{ id, diffId, descriptor: bare(descriptor) },
    ...(tarSize === undefined ? {} : { tarSize }),
    ...(createdMs === undefined ? {} : { createdMs }),
  };
}

/** Annotations tell what a blob is: the table of contents of eStargz. */
function bare({ mediaType, digest, size, annotations = {} }: Descriptor): Descriptor {
  const sorted = Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1));
  const about = sorted.length === 0 ? {} : { annotations: Object.fromEntries(sorted) };
  return { mediaType, digest, size, ...about };
}

/**
 * Reads a config that anybody may have written. What comes back is consistent: every layer that a record names is there,
 * is a base image's, or is the empty one.
 * @param place for messages
 * @throws CACHE_INVALID
 */
export function parseCacheConfig(bytes: Uint8Array, place: string): CacheConfig {
  return readCacheConfig(parseJson(bytes, place), place);
}

/** As `parseCacheConfig`, of JSON that was parsed. @throws CACHE_INVALID */
export function readCacheConfig(json: unknown, place: string): CacheConfig {
  const wrong = (what: string): OcibuildError =>
    new OcibuildError('CACHE_INVALID', `Cannot use the cache "${place}": ${what}`, {
      hint: 'write it anew with --cache-to',
    });
  if (!isObject(json)) throw wrong('its config is no JSON object');
  const { salt } = json;
  if (typeof salt !== 'string') throw wrong('its config has no "salt"');
  const layers = listOf(json.layers, (value): CachedLayer | undefined => {
    const { id, diffId, tarSize, createdMs } = value;
    const descriptor = readDescriptor(value.descriptor);
    if (!isText(id) || !LAYER_ID.test(id) || !isDigest(diffId) || descriptor === undefined) return undefined;
    return {
      ...{ id, diffId, descriptor },
      ...(isCount(tarSize) ? { tarSize } : {}),
      ...(isCount(createdMs) ? { createdMs } : {}),
    };
  });
  if (layers === undefined) throw wrong('its config has no sound list of layers');
  const known = new Set(layers.map(({ id }) => id));
  const isKnown = (id: unknown): id is string =>
    isText(id) && (known.has(id) || id === EMPTY_LAYER || (BASE_LAYER.test(id) && isDigest(id)));
  const records = listOf(json.records, (value): CachedRecord | undefined => {
    const { key, kind, layers: ids, name } = value;
    const ingredients = listOf(value.ingredients, readIngredient);
    if (!isDigest(key) || (kind !== 'definition' && kind !== 'result') || !isText(name)) return undefined;
    if (!Array.isArray(ids) || !ids.every(isKnown) || ingredients === undefined) return undefined;
    return { key, kind, layers: ids, name, ingredients };
  });
  if (records === undefined) throw wrong('its config has no sound list of records');
  const mounts = listOf(json.mounts ?? [], (value): CachedMount | undefined => {
    const { id, base, diffId } = value;
    const descriptor = readDescriptor(value.descriptor);
    if (!isText(id) || !isText(base) || !isDigest(diffId) || descriptor === undefined) return undefined;
    return { id, base, diffId, descriptor };
  });
  if (mounts === undefined) throw wrong('its config has no sound list of cache mounts');
  return { salt, layers, records, ...(mounts.length === 0 ? {} : { mounts }) };
}

function parseJson(bytes: Uint8Array, place: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new OcibuildError('CACHE_INVALID', `Cannot use the cache "${place}": its config is no JSON`, {
      cause,
    });
  }
}

/** All of them, or undefined where one is not what it should be. */
function listOf<T>(value: unknown, read: (value: Json) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = value.map((each) => (isObject(each) ? read(each) : undefined));
  return found.every((each) => each !== undefined) ? (found as T[]) : undefined;
}

function readIngredient({ name, value }: Json): { name: string; value: string } | undefined {
  return isText(name) && isText(value) ? { name, value } : undefined;
}

function readDescriptor(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined;
  const { mediaType, digest, size, annotations } = value;
  if (!isText(mediaType) || !isDigest(digest) || !isCount(size)) return undefined;
  if (annotations === undefined) return { mediaType, digest, size };
  if (!isObject(annotations) || !Object.values(annotations).every(isText)) return undefined;
  return { mediaType, digest, size, annotations: annotations as Record<string, string> };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
