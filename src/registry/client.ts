import { OcibuildError } from '../errors/error.ts';
import { isBusy, RetriableFailure, retryAfterMs, withRetry } from '../http/retry.ts';
import { createTransport, type HttpRequest, type HttpResponse } from '../http/transport.ts';
import { familiarName, type Reference } from '../image/reference.ts';
import { isPlain, registryUrl } from './address.ts';
import { AuthRefused, createAuthorizer, type TokenScope } from './auth.ts';
import { createCredentialStore } from './credentials.ts';
import { authError, connectionError, responseError } from './response-error.ts';
import type { ResolverOptions } from './types.ts';

/** One call to a repository's API. */
export interface RegistryCall {
  readonly ref: Reference;
  readonly method: 'GET' | 'HEAD';
  /** Below `/v2/REPOSITORY/`: `manifests/v0`, `blobs/sha256:…`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface RegistryClient {
  /**
   * Sends the call with token, redirects and retries, and hands a successful answer (2xx) to `use`. A connection
   * that breaks inside `use` counts as a failed attempt too.
   * @throws REGISTRY_*, CANCELLED
   */
  call<T>(call: RegistryCall, use: (response: HttpResponse) => Promise<T>): Promise<T>;
}

const DEFAULT_RETRY_DELAY_MS = 1000;
const DEFAULT_TIMEOUT_MS = 60_000;

export function createClient(options: ResolverOptions): RegistryClient {
  const plainHttp = options.plainHttp ?? [];
  const delayMs = options.retryDelayMs ?? DEFAULT_RETRY_DELAY_MS;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const transport = createTransport({
    env: options.env,
    mayBePlain: (url) => isPlain(url, plainHttp),
    errorCode: 'REGISTRY_RESPONSE_INVALID',
    timeoutMs,
  });
  const credentials = options.credentials ?? createCredentialStore(options.env);
  const authorizer = createAuthorizer({
    credentials,
    send: async (request) => {
      const action = `ask "${request.url.host}" for a token`;
      try {
        return await withRetry(() => sendOnce(request, action), { signal: request.signal, delayMs });
      } catch (error) {
        // Ours now, so the attempts of the call that needs the token do not multiply with these.
        throw connectionError(error, action);
      }
    },
    isPlain: (url) => isPlain(url, plainHttp),
    now: () => Date.now(),
  });

  async function sendOnce(request: HttpRequest, action: string): Promise<HttpResponse> {
    const response = await transport(request);
    if (!isBusy(response.status)) return response;
    const waitMs = retryAfterMs(response.headers['retry-after'], Date.now());
    throw new RetriableFailure(await responseError(response, { action }), waitMs);
  }

  /** One attempt: the answer, after a token was fetched for a 401. */
  async function attempt(call: RegistryCall, action: string): Promise<HttpResponse> {
    const url = new URL(`v2/${call.ref.repository}/${call.path}`, registryUrl(call.ref.registry, plainHttp));
    const scope = scopeOf(call.ref);
    let authorization = authorizer.current(scope);
    for (let renewed = false; ; renewed = true) {
      const { method, signal } = call;
      const response = await sendOnce(
        {
          method,
          url,
          headers: { ...call.headers, ...(authorization === undefined ? {} : { authorization }) },
          signal,
        },
        action,
      );
      // Storage that a redirect led to may answer 401 as well; it has no token service.
      if (response.status !== 401 || renewed || response.url.host !== url.host) return response;
      response.body.destroy();
      const challenge = response.headers['www-authenticate'];
      authorization = await authorizer.answer(challenge, scope, { rejected: authorization, signal });
    }
  }

  return {
    async call(call, use) {
      const action = actionOf(call.ref);
      try {
        return await withRetry(
          async () => {
            const response = await attempt(call, action);
            if (response.status >= 200 && response.status < 300) return await use(response);
            const { origin } = await credentials.find(call.ref, call.signal);
            throw await responseError(response, { action, used: origin });
          },
          { signal: call.signal, delayMs },
        );
      } catch (error) {
        if (error instanceof AuthRefused) {
          const { origin } = await credentials.find(call.ref, call.signal);
          throw authError({ action, used: origin }, error.message);
        }
        throw connectionError(error, action);
      }
    },
  };
}

function scopeOf({ registry, repository }: Reference): TokenScope {
  return { registry, repository, actions: 'pull' };
}

/** `pull "app:v0" from "registry-1.docker.io"`, for messages. */
export function actionOf(ref: Reference): string {
  return `pull "${familiarName(ref)}" from "${ref.registry}"`;
}

/** The error for an answer that breaks the protocol. */
export function protocolError(ref: Reference, why: string): OcibuildError {
  return new OcibuildError('REGISTRY_RESPONSE_INVALID', `Cannot ${actionOf(ref)}: ${why}`);
}
