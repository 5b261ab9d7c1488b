import { isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { isBusy, isPassing, RetriableFailure, retryAfterMs, withRetry } from '../http/retry.ts';
import { createTransport, type HttpRequest, type HttpResponse } from '../http/transport.ts';
import { familiarName, type Reference } from '../image/reference.ts';
import { isPlain } from './address.ts';
import { AuthRefused, createAuthorizer, type TokenScope } from './auth.ts';
import { createCredentialStore } from './credentials.ts';
import { type Endpoint, endpointsOf } from './hosts.ts';
import { authError, connectionError, responseError } from './response-error.ts';
import type { ResolverOptions } from './types.ts';

type Body = NonNullable<HttpRequest['body']>;

/** One call to a repository's API. */
export interface RegistryCall {
  readonly ref: Reference;
  readonly method: HttpRequest['method'];
  /** Below `/v2/REPOSITORY/` (`manifests/v0`, `blobs/sha256:…`), or where the registry sent us. Without a
   * repository: the API's root. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each attempt. */
  readonly body?: () => Body | Promise<Body>;
  /** @default pull */
  readonly actions?: TokenScope['actions'];
  readonly mountFrom?: string;
  /** Statuses beside 2xx that `use` takes. */
  readonly accepts?: readonly number[];
  /** Where a failure is dealt with by the caller. */
  readonly once?: boolean;
  readonly signal: AbortSignal;
}

export interface RegistryClient {
  /**
   * Sends the call with token, redirects and retries, and hands a successful answer (2xx) to `use`. A connection
   * that breaks inside `use` counts as a failed attempt too.
   * @throws REGISTRY_*, CANCELLED; with `once` also failures that may pass, as they are
   */
  call<T>(call: RegistryCall, use: (response: HttpResponse) => Promise<T>): Promise<T>;
}

export const DEFAULT_RETRY_DELAY_MS = 1000;
export const DEFAULT_TIMEOUT_MS = 60_000;

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
  async function attempt(call: RegistryCall, endpoint: Endpoint, action: string): Promise<HttpResponse> {
    const { method, headers, body, ref, signal } = call;
    const url =
      typeof call.path !== 'string'
        ? call.path
        : new URL(ref.repository === '' ? '' : `${ref.repository}/${call.path}`, endpoint.api);
    if (!endpoint.isOrigin) url.searchParams.set('ns', ref.registry);
    // What the registry sends us to elsewhere has an address that is all the permission it needs.
    const isHome = url.host === endpoint.api.host;
    const scope = scopeOf(call, endpoint);
    let authorization = isHome ? authorizer.current(scope) : undefined;
    for (let renewed = false; ; renewed = true) {
      const response = await sendOnce(
        {
          method,
          url,
          headers: {
            ...(isHome ? endpoint.headers : {}),
            ...headers,
            ...(authorization === undefined ? {} : { authorization }),
          },
          ...(isHome && endpoint.tls !== undefined ? { tls: endpoint.tls } : {}),
          ...(body === undefined ? {} : { body: await body() }),
          signal,
        },
        action,
      );
      // Storage that a redirect led to may answer 401 as well; it has no token service.
      if (response.status !== 401 || renewed || !isHome || response.url.host !== url.host) return response;
      response.body.destroy();
      const challenge = response.headers['www-authenticate'];
      authorization = await authorizer.answer(challenge, scope, { rejected: authorization, signal });
    }
  }

  const endpoints = new Map<string, readonly Endpoint[]>();
  /** Mirrors that did not answer: waiting for each of them once is enough. */
  const silent = new Set<Endpoint>();
  /** Mirrors are read from only; where the registry sent us was said by the one that was asked. */
  function endpointsFor({ ref, actions, path }: RegistryCall): readonly Endpoint[] {
    let known = endpoints.get(ref.registry);
    if (known === undefined) {
      known = endpointsOf(ref.registry, {
        ...{ env: options.env, plainHttp },
        skipVerify: options.skipVerify?.includes(ref.registry) === true,
      });
      endpoints.set(ref.registry, known);
    }
    const writes = actions === 'pull,push' || ref.repository === '' || typeof path !== 'string';
    return writes ? known.filter(({ isOrigin }) => isOrigin) : known;
  }

  return {
    async call(call, use) {
      const all = endpointsFor(call);
      for (const mirror of all.slice(0, -1)) {
        if (silent.has(mirror)) continue;
        try {
          // What a mirror lacks the registry has: it gets one chance.
          return await callAt({ ...call, once: true }, mirror, use);
        } catch (error) {
          throwIfAborted(call.signal);
          if (!isOcibuildError(error) || error.code === 'REGISTRY_UNREACHABLE') silent.add(mirror);
        }
      }
      return callAt(call, all.at(-1) as Endpoint, use);
    },
  };

  async function callAt<T>(
    call: RegistryCall,
    endpoint: Endpoint,
    use: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    const action = actionOf(call.ref, call.actions);
    const scope = scopeOf(call, endpoint);
    const once = async (): Promise<T> => {
      const response = await attempt(call, endpoint, action);
      const { status } = response;
      if ((status >= 200 && status < 300) || call.accepts?.includes(status)) return await use(response);
      const { origin } = await credentials.find(scope, call.signal);
      throw await responseError(response, { action, used: origin, registry: scope.registry });
    };
    try {
      if (call.once !== true) return await withRetry(once, { signal: call.signal, delayMs });
      return await once();
    } catch (error) {
      if (call.once === true && (error instanceof RetriableFailure || isPassing(error))) throw error;
      if (error instanceof AuthRefused) {
        const { origin } = await credentials.find(scope, call.signal);
        throw authError({ action, used: origin, registry: scope.registry }, error.message);
      }
      throw connectionError(error, action);
    }
  }
}

/** A mirror has its own credentials. */
function scopeOf(
  { ref, actions = 'pull', mountFrom }: RegistryCall,
  { isOrigin, api }: Endpoint,
): TokenScope {
  const { repository } = ref;
  const registry = isOrigin ? ref.registry : api.host;
  return { registry, repository, actions, ...(mountFrom === undefined ? {} : { mountFrom }) };
}

/** `pull "app:v0" from "registry.example"`, for messages. */
export function actionOf(ref: Reference, actions: TokenScope['actions'] = 'pull'): string {
  if (ref.repository === '') return `log in to "${ref.registry}"`;
  return actions === 'pull'
    ? `pull "${familiarName(ref)}" from "${ref.registry}"`
    : `push "${familiarName(ref)}" to "${ref.registry}"`;
}

/** The error for an answer that breaks the protocol. */
export function protocolError(
  ref: Reference,
  why: string,
  actions: TokenScope['actions'] = 'pull',
): OcibuildError {
  return new OcibuildError('REGISTRY_RESPONSE_INVALID', `Cannot ${actionOf(ref, actions)}: ${why}`);
}
