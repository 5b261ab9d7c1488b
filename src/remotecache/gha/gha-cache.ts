import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelledError, OcibuildError } from '../../errors/error.ts';
import { openResumedBody, rangeFrom } from '../../http/resumed-body.ts';
import { createTransport, type HttpResponse } from '../../http/transport.ts';
import { digestBytes } from '../../image/digest.ts';
import type { Descriptor } from '../../image/types.ts';
import type { OpenPart } from '../../registry/types.ts';
import { openBytes } from '../../transfer/file-part.ts';
import { createSlots, type Slots } from '../../util/slots.ts';
import { blobsOf, type PutBlobOptions, putBlobs, sendParts } from '../blob-parts.ts';
import { encodeCacheConfig, MAX_CONFIG_BYTES, parseCacheConfig } from '../cache-config.ts';
import { cacheConnectionError, readText } from '../service-error.ts';
import type { CacheExporter, CacheImporter, GhaCacheOptions, LoadedCache } from '../types.ts';
import { createGhaFirst } from './gha-first.ts';
import { blobKey, type GhaPlace, ghaSettings, indexKey } from './gha-place.ts';
import { createGhaSecond } from './gha-second.ts';
import { createGhaSend } from './gha-service.ts';
import type { GhaEntry, GhaSend, GhaService, GhaUpload } from './types.ts';

export interface GhaCacheDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Pause before the second try; it doubles up to eight times that. @default 1000 */
  readonly retryDelayMs?: number;
  /** How long to wait for an answer, or for the next bytes of one. @default 60_000 */
  readonly timeoutMs?: number;
  /** How long somebody else may take to write what we want to write. @default 15_000 */
  readonly patienceMs?: number;
  /** Parts of large blobs. @default 16 MiB */
  readonly partBytes?: number;
}

/** A service, and how to reach it. */
interface Connection {
  readonly place: GhaPlace;
  readonly service: GhaService;
  readonly send: GhaSend;
  readonly deps: GhaCacheDeps;
}

const PART_BYTES = 16 << 20;
/** Each has a part in memory. */
const PARTS_AT_ONCE = 4;
const PATIENCE_MS = 15_000;
const LOOK_AGAIN_MS = 2000;
/** Numbers that writers claimed and never used; more of them is something else. */
const MAX_SKIPPED = 20;

/** A cache in GitHub's service, to read: of the job's own ref and of those that it may read. Nothing is asked for before
 * `load`. @throws USAGE_INVALID */
export function createGhaImporter(options: GhaCacheOptions, deps: GhaCacheDeps): CacheImporter {
  const settings = ghaSettings(options, deps.env);
  const name = `GitHub cache "${settings.scope}"`;
  return {
    name,
    load: (signal) =>
      withinTime({ ...settings, action: `read ${name}` }, signal, async (soon) => {
        const connection = connect(settings.place(), deps);
        const read = async (ref: string): Promise<LoadedCache[]> => {
          const entry = await connection.service.find(indexKey(settings.scope, ref), soon);
          if (entry === undefined) return [];
          const action = `read ${name}`;
          const bytes = await getEntry(
            connection,
            entry,
            { action, headers: {}, signal: soon },
            async (response) =>
              response.status >= 400 ? undefined : Buffer.from(await readText(response, MAX_CONFIG_BYTES)),
          );
          // It ended between two requests: as good as not there.
          return bytes === undefined
            ? []
            : [{ config: parseCacheConfig(bytes, name), origin: { type: 'gha' } }];
        };
        return (await Promise.all(connection.place.refs.map(read))).flat();
      }),
  };
}

/** A cache in GitHub's service, to write: for the job's own ref. @throws USAGE_INVALID */
export function createGhaExporter(options: GhaCacheOptions, deps: GhaCacheDeps): CacheExporter {
  const settings = ghaSettings(options, deps.env);
  const name = `GitHub cache "${settings.scope}"`;
  return {
    name,
    write: (config, writing) =>
      withinTime({ ...settings, action: `write ${name}` }, writing.signal, async (signal) => {
        const connection = connect(settings.place(), deps);
        const slots = createSlots(PARTS_AT_ONCE);
        await putBlobs(blobsOf(config), { ...writing, signal }, async (descriptor, { open }, options) => {
          const claimed = await claim(
            connection,
            { prefix: blobKey(descriptor.digest), isDone: () => true },
            {
              size: descriptor.size,
              signal: options.signal,
            },
          );
          if (claimed !== 'there') await upload(claimed, { descriptor, open, slots, ...options }, deps);
        });
        const bytes = encodeCacheConfig(config);
        const descriptor = { mediaType: 'application/json', digest: digestBytes(bytes), size: bytes.length };
        const prefix = indexKey(settings.scope, connection.place.refs[0] ?? '');
        const claimed = await claim(
          connection,
          { prefix, isDone: () => false },
          { size: bytes.length, signal },
        );
        if (claimed === 'there') return;
        await upload(
          claimed,
          { descriptor, open: openBytes(bytes), slots, signal, onProgress: () => {} },
          deps,
        );
      }),
  };
}

/** Reads blobs of the service that the environment names; one for a build.
 * @param deps.given options of the running build, whose first is believed before `env` */
export function createGhaReader(
  deps: GhaCacheDeps & { readonly given: readonly GhaCacheOptions[] },
): (descriptor: Descriptor, signal: AbortSignal) => Promise<Readable> {
  let kept: Connection | undefined;
  return async ({ digest, size }, signal) => {
    kept ??= connect(ghaSettings(deps.given[0] ?? {}, deps.env).place(), deps);
    const connection = kept;
    const action = `read "${digest}" from the GitHub cache`;
    const find = async (): Promise<GhaEntry> => {
      const entry = await connection.service.find(blobKey(digest), signal);
      if (entry !== undefined) return entry;
      throw new OcibuildError('CACHE_REQUEST_FAILED', `Cannot ${action}: it is not there any more`);
    };
    let entry = await find();
    const request = async (offset: number): Promise<HttpResponse> => {
      const how = { action, headers: rangeFrom(offset), signal };
      const response = await getEntry(connection, entry, how, async (answer) => answer);
      if (response.status < 400) return response;
      // Signed addresses end after minutes, downloads may take longer.
      response.body.resume();
      entry = await find();
      const again = await getEntry(connection, entry, how, async (answer) => answer);
      if (again.status < 400) return again;
      again.body.resume();
      throw new OcibuildError('CACHE_REQUEST_FAILED', `Cannot ${action}: HTTP ${again.status}`);
    };
    return openResumedBody({
      ...{ request, size, offset: 0, signal },
      retryDelayMs: deps.retryDelayMs ?? 1000,
      invalid: (why) => new OcibuildError('CACHE_RESPONSE_INVALID', `Cannot ${action}: ${why}`),
      broken: (error) => cacheConnectionError(error, action),
    });
  };
}

function connect(place: GhaPlace, deps: GhaCacheDeps): Connection {
  const { env, retryDelayMs = 1000, timeoutMs = 60_000 } = deps;
  const transport = createTransport({
    ...{ env, timeoutMs },
    mayBePlain: () => false,
    errorCode: 'CACHE_RESPONSE_INVALID',
  });
  const send = createGhaSend({ transport, retryDelayMs, secrets: [place.token] });
  const service = place.version === 1 ? createGhaFirst(place, send) : createGhaSecond(place, send);
  return { place, service, send, deps };
}

/** Reads a signed address; 401, 403 and 404 say that it has ended. */
function getEntry<T>(
  { send }: Connection,
  { url }: GhaEntry,
  how: {
    readonly action: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
  use: (response: HttpResponse) => Promise<T>,
): Promise<T> {
  const { action, headers, signal } = how;
  return send({ method: 'GET', url, headers, signal }, { action, accepts: [401, 403, 404] }, use);
}

/**
 * Claims the next number of a key. A number that somebody else claimed is waited for; who claimed it and died is passed
 * over.
 */
async function claim(
  { service, deps }: Connection,
  key: { readonly prefix: string; isDone(entry: GhaEntry): boolean },
  { size, signal }: { readonly size: number; readonly signal: AbortSignal },
): Promise<GhaUpload | 'there'> {
  let patienceMs = deps.patienceMs ?? PATIENCE_MS;
  for (let skipped = 0; skipped <= MAX_SKIPPED; ) {
    const found = await service.find(key.prefix, signal);
    if (found !== undefined && key.isDone(found)) return 'there';
    const last = found === undefined ? 0 : Number(found.key.slice(key.prefix.length));
    const number = (Number.isSafeInteger(last) ? last : 0) + 1 + skipped;
    const claimed = await service.reserve(`${key.prefix}${number}`, size, signal);
    if (claimed !== 'taken') return claimed;
    if (patienceMs <= 0) {
      skipped++;
      continue;
    }
    const waitMs = Math.min(patienceMs, LOOK_AGAIN_MS);
    patienceMs -= waitMs;
    await sleep(waitMs, undefined, { signal }).catch(() => {
      throw cancelledError(signal);
    });
  }
  const message = `Cannot write "${key.prefix}" to the GitHub cache: others claimed the next ${MAX_SKIPPED} numbers`;
  throw new OcibuildError('CACHE_REQUEST_FAILED', message);
}

async function upload(
  to: GhaUpload,
  blob: PutBlobOptions & { readonly descriptor: Descriptor; readonly open: OpenPart; readonly slots: Slots },
  { partBytes = PART_BYTES }: GhaCacheDeps,
): Promise<void> {
  const { descriptor, signal } = blob;
  let parts = 0;
  await sendParts(descriptor, {
    ...blob,
    partBytes,
    async send(part, partSignal) {
      await to.send(part, partSignal);
      parts++;
    },
  });
  await to.finish({ parts, bytes: descriptor.size }, signal);
}

/** Ends what takes longer than the options allow. @throws CACHE_UNREACHABLE */
async function withinTime<T>(
  { timeoutMs, action }: { readonly timeoutMs: number; readonly action: string },
  signal: AbortSignal,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const message = `Cannot ${action}: it takes longer than ${timeoutMs / 1000} s`;
  const timer = setTimeout(
    () => late.abort(new OcibuildError('CACHE_UNREACHABLE', message, { hint: 'allow more with timeout=' })),
    timeoutMs,
  );
  try {
    return await body(AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
