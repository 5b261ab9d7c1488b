import type { Readable } from 'node:stream';
import { isOcibuildError, throwIfAborted } from '../errors/error.ts';
import { isPassing, pause, RetriableFailure } from '../http/retry.ts';
import type { HttpResponse } from '../http/transport.ts';
import type { Reference } from '../image/reference.ts';
import type { Descriptor } from '../image/types.ts';
import { actionOf, protocolError, type RegistryCall, type RegistryClient } from './client.ts';
import { connectionError, responseError } from './response-error.ts';
import type { OpenPart } from './types.ts';

/** A blob on its way to a repository. */
export interface BlobUpload {
  readonly ref: Reference;
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>;
  readonly open: OpenPart;
  /** A repository of the same registry that may have the blob. */
  readonly mountFrom?: string;
  readonly onProgress?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

export interface UploadDeps {
  readonly client: RegistryClient;
  readonly retryDelayMs: number;
}

/** Failures in a row without a byte in between, after which an upload is given up. */
const MAX_STALLS = 5;
/** Where a registry, or a proxy before it, takes no large bodies. */
const SMALL_CHUNK_BYTES = 4 * 1024 * 1024;

/** A registry's upload session. */
interface Session {
  readonly url: URL;
  /** Bytes that the registry has. */
  readonly offset: number;
  /** Chunks may not be smaller, but for the last. */
  readonly minChunk: number;
}

/**
 * Makes a blob exist in a repository: nothing is sent where it is there already or can be mounted; else it goes in
 * one piece, and a connection that breaks is taken up where it broke.
 * @throws REGISTRY_*
 * @see distribution-spec §Pushing blobs
 */
export async function uploadBlob(
  deps: UploadDeps,
  upload: BlobUpload,
): Promise<'exists' | 'mounted' | 'uploaded'> {
  if (await hasBlob(deps, upload)) return 'exists';
  const started = await start(deps, upload, upload.mountFrom);
  if (started === 'mounted') return 'mounted';
  let session: Session = started;
  let chunk = Number.POSITIVE_INFINITY;
  let takesParts = true;
  let stalls = 0;
  /** Every turn that gets no further counts, whatever the registry says: it may send us in circles. */
  const moveTo = (next: Session): void => {
    stalls = next.offset > session.offset ? 0 : stalls + 1;
    session = next;
    if (stalls > MAX_STALLS) throw protocolError(upload.ref, 'the upload gets no further', 'pull,push');
  };
  const goOn = async (): Promise<void> =>
    moveTo(takesParts ? await resume(deps, upload, session) : await startAgain(deps, upload));
  for (;;) {
    try {
      const next = await send(deps, upload, session, chunk);
      if (next === 'done') return 'uploaded';
      if (next === 'too large') {
        chunk = Math.max(SMALL_CHUNK_BYTES, session.minChunk);
        await goOn();
      } else if (next === 'whole only') {
        takesParts = false;
        await goOn();
      } else moveTo(next);
    } catch (error) {
      throwIfAborted(upload.signal);
      const passes = error instanceof RetriableFailure || isPassing(error);
      if (!passes || stalls === MAX_STALLS) {
        const last = error instanceof RetriableFailure ? error.error : error;
        throw connectionError(last, actionOf(upload.ref, 'pull,push'));
      }
      const waitMs = error instanceof RetriableFailure ? error.waitMs : undefined;
      const options = { signal: upload.signal, delayMs: deps.retryDelayMs };
      await pause(stalls + 1, waitMs, options);
      await goOn();
    }
  }
}

async function hasBlob(deps: UploadDeps, upload: BlobUpload): Promise<boolean> {
  const { descriptor } = upload;
  const call = callOf(upload, { method: 'HEAD', path: `blobs/${descriptor.digest}`, accepts: [404] });
  return deps.client.call(call, async ({ status, body }) => {
    body.resume();
    return status !== 404;
  });
}

async function start(
  deps: UploadDeps,
  upload: BlobUpload,
  mountFrom: string | undefined,
): Promise<Session | 'mounted'> {
  const query = new URLSearchParams(
    mountFrom === undefined ? {} : { mount: upload.descriptor.digest, from: mountFrom },
  );
  const call = callOf(upload, {
    method: 'POST',
    path: `blobs/uploads/${mountFrom === undefined ? '' : `?${query}`}`,
    headers: { 'content-length': '0' },
    ...(mountFrom === undefined ? {} : { mountFrom, accepts: [400, 401, 403, 404, 405] }),
  });
  const request = deps.client.call(call, async (response) => {
    response.body.resume();
    if (response.status === 201 && mountFrom !== undefined) return 'mounted';
    // Whoever may not read the other repository may still write to this one.
    return response.status >= 400 ? undefined : sessionOf(upload, response, 0);
  });
  const begun = await request.catch((error: unknown) => {
    // Some token services give nothing at all where they do not give everything.
    const refused = isOcibuildError(error) && error.code === 'REGISTRY_AUTH_FAILED';
    if (mountFrom === undefined || !refused) throw error;
    return undefined;
  });
  return begun ?? start(deps, upload, undefined);
}

/** Sends what is missing, or one chunk of it. */
async function send(
  deps: UploadDeps,
  upload: BlobUpload,
  session: Session,
  chunk: number,
): Promise<Session | 'done' | 'too large' | 'whole only'> {
  const { descriptor, open, onProgress } = upload;
  const { offset } = session;
  const rest = descriptor.size - offset;
  const whole = offset === 0 && chunk >= rest;
  const length = Math.min(chunk, rest);
  const isClosing = whole || rest === 0;
  const body = async (): Promise<Readable> => {
    const stream = await open(offset, length);
    let sent = offset;
    stream.on('data', (data: Uint8Array) => {
      sent += data.length;
      onProgress?.(sent);
    });
    return stream;
  };
  const call = callOf(upload, {
    method: isClosing ? 'PUT' : 'PATCH',
    path: isClosing ? withDigest(session.url, descriptor.digest) : session.url,
    headers: {
      'content-length': String(length),
      ...(length === 0 ? {} : { 'content-type': 'application/octet-stream' }),
      ...(isClosing ? {} : { 'content-range': `${offset}-${offset + length - 1}` }),
    },
    ...(length === 0 ? {} : { body }),
    // A registry that knows no parts gets the whole again; where it took that neither, its words are the error.
    accepts: [307, 308, 404, 413, 416, ...(isClosing || chunk < rest ? [] : [400, 405, 501])],
    once: true,
  });
  return deps.client.call(call, async (response) => {
    const { status, headers } = response;
    if (status === 307 || status === 308) {
      response.body.resume();
      return { ...session, url: locationOf(upload, response) };
    }
    if (status === 413) {
      if (length <= SMALL_CHUNK_BYTES)
        throw await responseError(response, { action: actionOf(upload.ref, 'pull,push') });
      response.body.resume();
      return 'too large';
    }
    response.body.resume();
    if (status === 404 || status === 416) {
      throw new RetriableFailure(protocolError(upload.ref, 'it lost a part of the upload', 'pull,push'));
    }
    if (status >= 400) return 'whole only';
    if (isClosing) {
      checkDigest(upload, headers['docker-content-digest']);
      return 'done';
    }
    return sessionOf(upload, response, rangeEnd(headers.range) ?? offset + length);
  });
}

/** Asks what the registry has of an upload that broke; begins again where it does not know it any more. */
async function resume(deps: UploadDeps, upload: BlobUpload, session: Session): Promise<Session> {
  const call = callOf(upload, { method: 'GET', path: session.url, accepts: [400, 404, 405, 416] });
  const known = await deps.client.call(call, async (response) => {
    response.body.resume();
    if (response.status >= 400) return undefined;
    const offset = rangeEnd(response.headers.range) ?? 0;
    // What is more than the blob has, or all of it by a PUT that failed, is not worth an argument.
    if (offset >= upload.descriptor.size) return undefined;
    return response.headers.location === undefined
      ? { ...session, offset }
      : sessionOf(upload, response, offset);
  });
  return known ?? startAgain(deps, upload);
}

async function startAgain(deps: UploadDeps, upload: BlobUpload): Promise<Session> {
  const begun = await start(deps, upload, undefined);
  if (begun === 'mounted') throw protocolError(upload.ref, 'it mounted what was not asked for', 'pull,push');
  return begun;
}

function callOf(
  { ref, signal }: BlobUpload,
  rest: Omit<RegistryCall, 'ref' | 'signal' | 'actions'>,
): RegistryCall {
  return { ref, signal, actions: 'pull,push', ...rest };
}

function sessionOf(upload: BlobUpload, response: HttpResponse, offset: number): Session {
  const minChunk = Number(response.headers['oci-chunk-min-length'] ?? 0) || 0;
  return { url: locationOf(upload, response), offset, minChunk };
}

function locationOf({ ref }: BlobUpload, { headers, url }: HttpResponse): URL {
  const location = headers.location === undefined ? null : URL.parse(headers.location, url);
  if (location === null || (location.protocol !== 'https:' && location.protocol !== url.protocol)) {
    throw protocolError(ref, 'it gave no address to upload to', 'pull,push');
  }
  return location;
}

/** The address may have a query of its own, which stays. */
function withDigest(url: URL, digest: string): URL {
  const closing = new URL(url);
  closing.searchParams.set('digest', digest);
  return closing;
}

/** `0-N` names the last byte that arrived. */
function rangeEnd(range: string | undefined): number | undefined {
  const end = /^(?:bytes=)?0-(\d+)$/.exec(range ?? '')?.[1];
  // Registries say `0-0` before the first byte too; then one byte is sent twice at worst.
  return end === undefined || end === '0' ? undefined : Number(end) + 1;
}

function checkDigest({ ref, descriptor }: BlobUpload, told: unknown): void {
  if (told === undefined || told === descriptor.digest) return;
  throw protocolError(ref, `it stored "${told}" instead of "${descriptor.digest}"`, 'pull,push');
}
