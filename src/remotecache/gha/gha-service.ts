import { OcibuildError } from '../../errors/error.ts';
import { isBusy, RetriableFailure, retryAfterMs, withRetry } from '../../http/retry.ts';
import type { HttpRequest, HttpResponse, Transport } from '../../http/transport.ts';
import type { BlobPart } from '../blob-parts.ts';
import { cacheConnectionError, cacheResponseError, readText } from '../service-error.ts';

/** One entry of the service: it never changes. */
export interface GhaEntry {
  readonly key: string;
  /** Signed: no token is needed, and none is sent. It ends after a while. */
  readonly url: URL;
}

/** An entry that is being written. */
export interface GhaUpload {
  /** Parts may go side by side. */
  send(part: BlobPart, signal: AbortSignal): Promise<void>;
  /** Until then nobody sees the entry. */
  finish(total: { readonly parts: number; readonly bytes: number }, signal: AbortSignal): Promise<void>;
}

/** The cache service of GitHub Actions, in either of its protocols. */
export interface GhaService {
  /** The newest entry whose key begins so, of a ref that the job may read. */
  find(prefix: string, signal: AbortSignal): Promise<GhaEntry | undefined>;
  /** Claims a key; `taken` where it is there already, or somebody writes it. */
  reserve(key: string, size: number, signal: AbortSignal): Promise<GhaUpload | 'taken'>;
}

export type GhaSend = <T>(
  request: HttpRequest,
  how: {
    /** For messages: `write "KEY" to the GitHub cache`. */
    readonly action: string;
    /** Statuses beside 2xx that `use` takes. */
    readonly accepts?: readonly number[];
  },
  use: (response: HttpResponse) => Promise<T>,
) => Promise<T>;

export type GhaJson = Readonly<Record<string, unknown>>;

/** Sends requests of the service, with retries that wait as long as it asks for. @throws CACHE_* */
export function createGhaSend(deps: {
  readonly transport: Transport;
  readonly retryDelayMs: number;
  /** Values that no message may show. */
  readonly secrets: readonly string[];
}): GhaSend {
  return async (request, { action, accepts = [] }, use) => {
    const attempt = async (): Promise<HttpResponse> => {
      const response = await deps.transport(request);
      if ((response.status >= 200 && response.status < 300) || accepts.includes(response.status))
        return response;
      const error = await cacheResponseError(response, {
        action,
        secrets: deps.secrets,
        used: 'ACTIONS_RUNTIME_TOKEN',
      });
      if (!isBusy(response.status)) throw error;
      throw new RetriableFailure(error, retryAfterMs(response.headers['retry-after'], Date.now()));
    };
    try {
      const { signal } = request;
      return await withRetry(async () => use(await attempt()), { signal, delayMs: deps.retryDelayMs });
    } catch (error) {
      throw cacheConnectionError(error, action);
    }
  };
}

/** Headers and body of a JSON request. */
export function jsonBody(
  headers: Readonly<Record<string, string>>,
  content: GhaJson,
): { readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array } {
  const body = Buffer.from(JSON.stringify(content));
  const about = { 'content-type': 'application/json', 'content-length': String(body.length) };
  return { headers: { ...headers, ...about }, body };
}

/** An answer as JSON; empty where it has no body. @throws CACHE_RESPONSE_INVALID */
export async function readJson(response: HttpResponse, action: string): Promise<GhaJson> {
  const text = await readText(response);
  if (text === '') return {};
  try {
    return Object(JSON.parse(text)) as GhaJson;
  } catch {
    throw invalidAnswer(action, 'its answer is no JSON');
  }
}

/** The entry that the service found. A service may find others than those asked for. */
export function entryOf(key: unknown, location: unknown, prefix: string): GhaEntry | undefined {
  const url = typeof location === 'string' ? URL.parse(location) : null;
  return typeof key === 'string' && key.startsWith(prefix) && url !== null ? { key, url } : undefined;
}

export function invalidAnswer(action: string, why: string): OcibuildError {
  return new OcibuildError('CACHE_RESPONSE_INVALID', `Cannot ${action}: ${why}`);
}
