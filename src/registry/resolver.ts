import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { createTransport, type HttpResponse } from '../http/transport.ts';
import { digestBytes, isDigest } from '../image/digest.ts';
import { documentKind, MAX_DOCUMENT_BYTES, parseDocument } from '../image/manifest.ts';
import { familiarName, type Reference, withDefaultTag } from '../image/reference.ts';
import { type Descriptor, type Digest, MEDIA_TYPE } from '../image/types.ts';
import { createSlots, type Slots } from '../util/slots.ts';
import { openBlobStream } from './blob-stream.ts';
import {
  createClient,
  DEFAULT_RETRY_DELAY_MS,
  DEFAULT_TIMEOUT_MS,
  protocolError,
  type RegistryClient,
} from './client.ts';
import { openExternalBlob } from './external-blob.ts';
import { createPusher } from './pusher.ts';
import { listReferrers } from './referrers.ts';
import { readBody } from './response-error.ts';
import { hintOfTags } from './tags.ts';
import type { Fetcher, ResolvedManifest, ResolveOptions, Resolver, ResolverOptions } from './types.ts';

const BLOBS_AT_ONCE = 4;
const ACCEPT = [
  MEDIA_TYPE.index,
  MEDIA_TYPE.manifest,
  MEDIA_TYPE.dockerIndex,
  MEDIA_TYPE.dockerManifest,
  '*/*',
].join(', ');

/** A resolver. Keeps tokens, connections and the limit on parallel downloads. */
export function createResolver(options: ResolverOptions): Resolver {
  const client = createClient(options);
  const { retryDelayMs = DEFAULT_RETRY_DELAY_MS } = options;
  const slots = new Map<string, Slots>();
  const slotsOf = (registry: string): Slots => {
    const known = slots.get(registry) ?? createSlots(BLOBS_AT_ONCE);
    slots.set(registry, known);
    return known;
  };
  const transport = createTransport({
    env: options.env,
    // The digest says what comes.
    mayBePlain: () => true,
    errorCode: 'REGISTRY_RESPONSE_INVALID',
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  });
  const fetchExternal: Fetcher['fetchBlob'] = (descriptor, { signal, offset = 0 }) =>
    openExternalBlob({ transport, slots: slotsOf(''), retryDelayMs }, { descriptor, offset, signal });
  return {
    fetchExternal,
    resolve: (ref, resolveOptions) => resolve(client, withDefaultTag(ref), resolveOptions),
    referrers: (ref, digest, { signal }) => listReferrers(client, { ref, digest, signal }),
    pusher: (ref) => createPusher({ client, ref, slots: slotsOf(ref.registry), retryDelayMs }),
    fetcher: (ref) =>
      createFetcher(client, { ref, slots: slotsOf(ref.registry), retryDelayMs, fetchExternal }),
  };
}

async function resolve(
  client: RegistryClient,
  ref: Reference,
  { signal, known }: ResolveOptions,
): Promise<ResolvedManifest> {
  const digest = ref.digest ?? (known === undefined ? undefined : await headDigest(client, ref, signal));
  const stored = digest === undefined ? undefined : await known?.(digest);
  if (stored !== undefined && digestBytes(stored) === digest) return describe(ref, stored, undefined);
  const call = {
    ref,
    method: 'GET',
    path: `manifests/${digest ?? ref.tag}`,
    headers: { accept: ACCEPT },
    signal,
  } as const;
  const found = client.call(call, async (response) => {
    const bytes = await readDocument(ref, response);
    const told = digest ?? headerDigest(response);
    const actual = digestBytes(bytes);
    if (told !== undefined && told !== actual) {
      throw protocolError(ref, `the manifest has digest "${actual}", expected "${told}"`);
    }
    return describe(ref, bytes, response.headers['content-type']);
  });
  return await found.catch(async (error: unknown) => {
    const isMissing = isOcibuildError(error) && error.code === 'REGISTRY_NOT_FOUND';
    if (!isMissing || digest !== undefined) throw error;
    const hint = (await hintOfTags(client, ref, signal)) ?? error.hint;
    const { message, details, cause } = error;
    throw new OcibuildError(error.code, message, { details, cause, ...(hint === undefined ? {} : { hint }) });
  });
}

/** HEAD costs no pull from Docker Hub's allowance. Registries that do not support it, or do not tell the digest,
 * are asked by GET; so are refusals, since only GET's answer has words. */
async function headDigest(
  client: RegistryClient,
  ref: Reference,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const call = {
    ref,
    method: 'HEAD',
    path: `manifests/${ref.tag}`,
    headers: { accept: ACCEPT },
    signal,
  } as const;
  try {
    return await client.call(call, async (response) => {
      response.body.resume();
      return headerDigest(response);
    });
  } catch (error) {
    if (error instanceof OcibuildError && typeof error.details.status === 'number') return undefined;
    throw error;
  }
}

function headerDigest({ headers }: HttpResponse): Digest | undefined {
  const told = headers['docker-content-digest'];
  return isDigest(told) ? told : undefined;
}

function describe(ref: Reference, bytes: Buffer, contentType: string | undefined): ResolvedManifest {
  // Parameters are ignored, and so are types that say nothing (`application/json`).
  const told = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  const specific =
    documentKind(told) !== undefined || told.startsWith('application/vnd.docker.distribution.manifest.v1');
  try {
    const { mediaType } = parseDocument(bytes, specific ? told : undefined);
    return { descriptor: { mediaType, digest: digestBytes(bytes), size: bytes.length }, bytes };
  } catch (cause) {
    if (!(cause instanceof OcibuildError)) throw cause;
    const isPage = told === 'text/html';
    const why = isPage ? 'the answer is a page for people' : cause.message.replace(/^Cannot /, 'cannot ');
    const hint = isPage ? 'check the registry name; a proxy or a login page may stand before it' : cause.hint;
    throw new OcibuildError(
      'REGISTRY_RESPONSE_INVALID',
      `Cannot use image "${familiarName(ref)}" of "${ref.registry}": ${why}`,
      { cause, ...(hint === undefined ? {} : { hint }) },
    );
  }
}

async function readDocument(ref: Reference, response: HttpResponse): Promise<Buffer> {
  const length = Number(response.headers['content-length'] ?? 0);
  if (length > MAX_DOCUMENT_BYTES) {
    response.body.destroy();
    throw protocolError(ref, `the manifest has ${length} B, at most ${MAX_DOCUMENT_BYTES} B are read`);
  }
  return await readBody(response, MAX_DOCUMENT_BYTES, `a manifest or config of "${familiarName(ref)}"`);
}

function createFetcher(
  client: RegistryClient,
  {
    ref,
    slots,
    retryDelayMs,
    fetchExternal,
  }: {
    ref: Reference;
    slots: Slots;
    retryDelayMs: number;
    fetchExternal: Fetcher['fetchBlob'];
  },
): Fetcher {
  return {
    fetchBytes: (descriptor, { signal }) => fetchBytes(client, { ref, descriptor, signal }),
    async fetchBlob(descriptor, { signal, offset = 0 }) {
      const release = await slots.take(signal);
      try {
        return await openBlobStream(
          { client, retryDelayMs },
          { ref, descriptor, offset, signal, onClose: release },
        );
      } catch (error) {
        const isElsewhere = descriptor.urls !== undefined && descriptor.urls.length > 0;
        const isMissing = isOcibuildError(error) && error.code === 'REGISTRY_NOT_FOUND';
        if (!isElsewhere || !isMissing) throw error;
        return await fetchExternal(descriptor, { signal, offset });
      }
    },
  };
}

async function fetchBytes(
  client: RegistryClient,
  { ref, descriptor, signal }: { ref: Reference; descriptor: Descriptor; signal: AbortSignal },
): Promise<Buffer> {
  const { digest, mediaType, size } = descriptor;
  if (size > MAX_DOCUMENT_BYTES)
    throw protocolError(ref, `"${digest}" has ${size} B, at most ${MAX_DOCUMENT_BYTES} B are read`);
  const get = (path: string): Promise<Buffer> =>
    client.call(
      { ref, method: 'GET', path, headers: { accept: `${mediaType}, */*` }, signal },
      async (response) => {
        const bytes = await readDocument(ref, response);
        const actual = digestBytes(bytes);
        if (bytes.length !== size || actual !== digest) {
          throw protocolError(
            ref,
            `got ${bytes.length} B with digest "${actual}", expected ${size} B with "${digest}"`,
          );
        }
        return bytes;
      },
    );
  if (documentKind(mediaType) === undefined) return await get(`blobs/${digest}`);
  try {
    return await get(`manifests/${digest}`);
  } catch (error) {
    // Some registries keep the manifests below an index as plain blobs.
    if (error instanceof OcibuildError && error.code === 'REGISTRY_NOT_FOUND')
      return await get(`blobs/${digest}`);
    throw error;
  }
}
