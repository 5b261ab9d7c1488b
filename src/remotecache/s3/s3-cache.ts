import type { Readable } from 'node:stream';
import type { LayerOrigin } from '../../cache/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { createTransport } from '../../http/transport.ts';
import { digestBytes } from '../../image/digest.ts';
import type { Descriptor } from '../../image/types.ts';
import { openBytes } from '../../transfer/file-part.ts';
import { parseDuration } from '../../util/go-duration.ts';
import { createSlots } from '../../util/slots.ts';
import { blobsOf, putBlobs } from '../blob-parts.ts';
import { encodeCacheConfig, MAX_CONFIG_BYTES, parseCacheConfig } from '../cache-config.ts';
import { readText } from '../service-error.ts';
import type { CacheExporter, CacheImporter, LoadedCache, S3CacheOptions } from '../types.ts';
import { createAwsCredentials } from './aws-credentials.ts';
import { readProfile } from './aws-profile.ts';
import { createS3Client, type S3Bucket, type S3Client } from './s3-client.ts';
import { putS3Object, type S3UploadDeps, touchS3Object } from './s3-upload.ts';

/** Where blobs of a bucket are; no credentials. */
export type S3Origin = Extract<LayerOrigin, { readonly type: 's3' }>;

export interface S3CacheDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Pause before the second try; it doubles up to eight times that. @default 1000 */
  readonly retryDelayMs?: number;
  /** How long to wait for an answer, or for the next bytes of one. @default 60_000 */
  readonly timeoutMs?: number;
  /** For tests: S3's own sizes are large. */
  readonly sizes?: Pick<S3UploadDeps, 'partBytes' | 'maxCopyBytes'>;
}

/** What the options and the environment say, with defaults. */
interface Place {
  readonly bucket: S3Bucket;
  readonly blobs: string;
  readonly manifests: string;
  readonly names: readonly string[];
}

/** Not BuildKit's own default, so that a bucket may hold the caches of both. */
const DEFAULT_NAME = 'ocibuild';
const DEFAULT_TRIES = 3;
const DEFAULT_PARALLELISM = 4;
const DEFAULT_TOUCH = '24h';

/** A cache in a bucket, to read. Nothing is asked for before `load`. @throws USAGE_INVALID */
export function createS3Importer(options: S3CacheOptions, deps: S3CacheDeps): CacheImporter {
  const place = placeOf(options, deps.env);
  const name = nameOf(place);
  return {
    name,
    async load(signal) {
      const client = openClient(place.bucket, options, deps);
      const read = async (each: string): Promise<LoadedCache[]> => {
        const bytes = await readObject(client, place.manifests + each, signal);
        if (bytes === undefined) return [];
        return [{ config: parseCacheConfig(bytes, name), origin: originOf(place) }];
      };
      return (await Promise.all(place.names.map(read))).flat();
    },
  };
}

/** A cache in a bucket, to write. @throws USAGE_INVALID */
export function createS3Exporter(options: S3CacheOptions, deps: S3CacheDeps): CacheExporter {
  const place = placeOf(options, deps.env);
  const touchNs = parseDuration(options.touchRefresh ?? DEFAULT_TOUCH);
  if (touchNs === undefined || touchNs < 0)
    throw usage(`touch_refresh=${options.touchRefresh}`, 'expected a time such as 24h');
  const parallel = options.uploadParallelism ?? DEFAULT_PARALLELISM;
  if (parallel < 1) throw usage(`upload_parallelism=${parallel}`, 'expected 1 or more');
  return {
    name: nameOf(place),
    async write(config, writing) {
      const client = openClient(place.bucket, options, deps);
      const upload = { client, bucket: place.bucket.name, slots: createSlots(parallel), ...deps.sizes };
      await putBlobs(blobsOf(config), writing, async (descriptor, blob, { signal, onProgress }) => {
        const key = place.blobs + descriptor.digest;
        const found = await stat(client, key, signal);
        if (found?.size !== descriptor.size) {
          await putS3Object(upload, key, { descriptor, open: blob.open, signal, onProgress });
        } else if (Date.now() - found.modifiedMs > touchNs / 1e6) {
          await touchS3Object(upload, { key, size: found.size }, signal);
        }
      });
      const bytes = encodeCacheConfig(config);
      const descriptor = { mediaType: 'application/json', digest: digestBytes(bytes), size: bytes.length };
      for (const each of place.names) {
        const { signal } = writing;
        const blob = { descriptor, open: openBytes(bytes), signal, onProgress: () => {} };
        await putS3Object(upload, place.manifests + each, blob);
      }
    },
  };
}

/**
 * Reads blobs where an origin says they are; one for a build, so that connections and credentials are kept.
 * @param deps.given options of the running build: credentials are taken from those of the same bucket, else from `env`
 */
export function createS3Reader(
  deps: S3CacheDeps & { readonly given: readonly S3CacheOptions[] },
): (origin: S3Origin, descriptor: Descriptor, signal: AbortSignal) => Promise<Readable> {
  const clients = new Map<string, S3Client>();
  const clientFor = (bucket: S3Bucket): S3Client => {
    const key = JSON.stringify(bucket);
    const known = clients.get(key);
    if (known !== undefined) return known;
    const isSame = (options: S3CacheOptions): boolean => {
      const { name, endpoint } = placeOf(options, deps.env).bucket;
      return name === bucket.name && endpoint === bucket.endpoint;
    };
    const client = openClient(bucket, deps.given.find(isSame) ?? {}, deps);
    clients.set(key, client);
    return client;
  };
  return ({ bucket, blobs }, { digest, size }, signal) =>
    clientFor(bucket).read(blobs + digest, { offset: 0, size }, signal);
}

function openClient(bucket: S3Bucket, options: S3CacheOptions, deps: S3CacheDeps): S3Client {
  const { env, timeoutMs = 60_000, retryDelayMs = 1000 } = deps;
  const transport = createTransport({
    ...{ env, timeoutMs },
    mayBePlain: () => false,
    errorCode: 'CACHE_RESPONSE_INVALID',
  });
  const { accessKeyId, secretAccessKey, sessionToken } = options;
  const fixed =
    accessKeyId && secretAccessKey
      ? { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}), from: 'access_key_id' }
      : undefined;
  const found = createAwsCredentials({ env, transport, region: bucket.region, retryDelayMs });
  return createS3Client(bucket, {
    ...{ transport, retryDelayMs },
    credentials: fixed === undefined ? found : async () => fixed,
    maxTries: options.retryMaxAttempts ?? DEFAULT_TRIES,
  });
}

/** Undefined: it is not there. */
async function stat(
  client: S3Client,
  key: string,
  signal: AbortSignal,
): Promise<{ readonly size: number; readonly modifiedMs: number } | undefined> {
  const call = { method: 'HEAD', key, accepts: [404], action: `look for "${key}"`, signal } as const;
  return client.call(call, async ({ status, headers, body }) => {
    body.resume();
    if (status === 404) return undefined;
    return {
      size: Number(headers['content-length']),
      modifiedMs: Date.parse(headers['last-modified'] ?? ''),
    };
  });
}

/** Undefined: it is not there. */
async function readObject(client: S3Client, key: string, signal: AbortSignal): Promise<Buffer | undefined> {
  const call = { method: 'GET', key, accepts: [404], action: `read "${key}"`, signal } as const;
  return client.call(call, async (response) => {
    const text = await readText(response, MAX_CONFIG_BYTES);
    if (response.status !== 404) return Buffer.from(text);
    // A bucket that is not there is a mistake, a cache that is not there is the first build.
    if (text.includes('<Code>NoSuchBucket</Code>')) {
      throw new OcibuildError(
        'CACHE_REQUEST_FAILED',
        `Cannot read "${key}": NoSuchBucket: there is no such bucket`,
      );
    }
    return undefined;
  });
}

function placeOf(options: S3CacheOptions, env: S3CacheDeps['env']): Place {
  const name = options.bucket || env.AWS_BUCKET;
  if (!name) throw usage('type=s3', '"bucket" is missing, and AWS_BUCKET is not set');
  const endpoint = options.endpointUrl || env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL;
  if (endpoint && !/^https?:\/\/[^/]/.test(endpoint)) {
    throw usage(`endpoint_url=${endpoint}`, 'expected a URL such as https://s3.example');
  }
  const region =
    options.region ||
    env.AWS_REGION ||
    env.AWS_DEFAULT_REGION ||
    readProfile(env)?.region ||
    // Services that are not AWS have one region, and most take this name for it.
    (endpoint ? 'us-east-1' : undefined);
  if (!region) throw usage('type=s3', '"region" is missing, and AWS_REGION is not set');
  const prefix = options.prefix ?? '';
  const names = (options.name ?? DEFAULT_NAME).split(';').filter((each) => each !== '');
  if (names.length === 0) throw usage(`name=${options.name}`, 'expected one name or more');
  return {
    bucket: {
      ...{ name, region },
      ...(endpoint ? { endpoint } : {}),
      ...(options.usePathStyle === true ? { pathStyle: true } : {}),
    },
    blobs: prefix + (options.blobsPrefix ?? 'blobs/'),
    manifests: prefix + (options.manifestsPrefix ?? 'manifests/'),
    names,
  };
}

function originOf({ bucket, blobs }: Place): S3Origin {
  return { type: 's3', bucket, blobs };
}

function nameOf({ bucket, manifests, names }: Place): string {
  return `s3://${bucket.name}/${manifests}${names.join(';')}`;
}

function usage(what: string, why: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use an S3 cache with "${what}": ${why}`);
}
