import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { cancelledError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';

/** One request of a registry; GET and HEAD are all that pulling needs. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** The answer; whoever gets it reads or destroys `body`. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
  /** Where it came from, after redirects. */
  readonly url: URL;
}

export interface TransportOptions {
  /** Proxy variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `host` or `host:port` that may be spoken to without TLS; loopback always may. */
  readonly plainHttp: readonly string[];
  /** How long to wait for the first byte of an answer. */
  readonly timeoutMs: number;
}

export type Transport = (request: HttpRequest) => Promise<HttpResponse>;

const MAX_REDIRECTS = 10;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];

/** Sends requests over kept connections, through the proxies of `env`, and follows redirects. */
export function createTransport(options: TransportOptions): Transport {
  const proxyEnv = Object.fromEntries(
    PROXY_VARIABLES.flatMap((name) => (options.env[name] ? [[name, options.env[name]]] : [])),
  );
  // A proxy cannot reach our loopback, so that never goes through one.
  const pick = (url: URL): http.Agent =>
    isLoopback(url.hostname) ? direct : url.protocol === 'http:' ? plain : secure;
  const direct = new http.Agent({ keepAlive: true });
  const plain = new http.Agent({ keepAlive: true, proxyEnv });
  const secure = new https.Agent({ keepAlive: true, proxyEnv });
  const directSecure = new https.Agent({ keepAlive: true });
  return async (request) => {
    let { url, headers } = request;
    for (let redirects = 0; ; redirects++) {
      const agent = url.protocol === 'https:' && isLoopback(url.hostname) ? directSecure : pick(url);
      const response = await exchange({ ...request, url, headers }, agent, options.timeoutMs);
      const { location } = response.headers;
      if (!REDIRECTS.includes(response.status) || location === undefined) return response;
      response.body.destroy();
      if (redirects === MAX_REDIRECTS) {
        throw invalid(`Cannot follow "${request.url.host}": more than ${MAX_REDIRECTS} redirects`);
      }
      const next = redirectTarget(location, url, options.plainHttp);
      // distribution-spec: a token is for the registry, never for the storage it points to.
      if (next.host !== url.host || next.protocol !== url.protocol) headers = withoutAuthorization(headers);
      url = next;
    }
  };
}

/** Where a registry's API is; Docker Hub's name is not its host. */
export function registryUrl(registry: string, plainHttp: readonly string[]): URL {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const secure = new URL(`https://${host}/`);
  return isPlain(secure, plainHttp) ? new URL(`http://${host}/`) : secure;
}

/** Whether this host may be spoken to without TLS. */
export function isPlain(url: URL, plainHttp: readonly string[]): boolean {
  return isLoopback(url.hostname) || plainHttp.includes(url.host) || plainHttp.includes(url.hostname);
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function redirectTarget(location: string, from: URL, plainHttp: readonly string[]): URL {
  const next = URL.parse(location, from);
  if (next === null)
    throw invalid(`Cannot follow redirect of "${from.host}": "${redact(location)}" is not a URL`);
  const downgrade = next.protocol === 'http:' && from.protocol === 'https:' && !isPlain(next, plainHttp);
  if ((next.protocol !== 'https:' && next.protocol !== 'http:') || downgrade) {
    throw invalid(
      `Cannot follow redirect of "${from.host}" to "${next.protocol}//${next.host}": it is not HTTPS`,
    );
  }
  return next;
}

function withoutAuthorization(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'),
  );
}

function exchange(request: HttpRequest, agent: http.Agent, timeoutMs: number): Promise<HttpResponse> {
  const { url, method, headers, signal } = request;
  throwIfAborted(signal);
  return new Promise((resolve, reject) => {
    const { request: send } = url.protocol === 'http:' ? http : https;
    const pending = send(url, { method, headers: { 'user-agent': 'ocibuild', ...headers }, agent, signal });
    const timer = setTimeout(() => {
      pending.destroy(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: 'ETIMEDOUT' }));
    }, timeoutMs);
    pending.on('error', (error) => {
      clearTimeout(timer);
      reject(signal.aborted ? cancelledError(signal) : error);
    });
    pending.on('response', (body) => {
      clearTimeout(timer);
      // A connection that breaks before anybody reads must not become an uncaught error; readers still see it.
      body.on('error', () => {});
      resolve({ status: body.statusCode ?? 0, headers: body.headers, body, url });
    });
    pending.end();
  });
}

function invalid(message: string): OcibuildError {
  return new OcibuildError('REGISTRY_RESPONSE_INVALID', message);
}
