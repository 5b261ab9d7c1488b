import type { Agent, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { AgentOptions } from 'node:https';
import { pipeline, Readable } from 'node:stream';
import type { ErrorCode } from '../errors/codes.ts';
import { cancelledError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';

// Imported by name, node:http makes Node load its whole fetch implementation too: 10 ms of a command that takes 130.
const http = process.getBuiltinModule('node:http');
/** TLS takes another 12 ms to load, and a registry beside us needs none. */
const https = (): typeof import('node:https') => process.getBuiltinModule('node:https');

/** One request. Redirects of one with a body are not followed: the body may hold a password. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is read once; where it fails, so does the request. */
  readonly body?: Uint8Array | Readable;
  /** For this host only: a redirect to another goes without. */
  readonly tls?: TlsSettings;
  readonly signal: AbortSignal;
}

/** PEM texts. */
export interface TlsSettings {
  /** Authorities besides those of the system. */
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** Take any certificate. */
  readonly insecure?: boolean;
}

/** The answer; whoever gets it reads or destroys `body`. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** How long to wait for the next bytes of the body. */
  readonly timeoutMs: number;
}

export interface TransportOptions {
  /** Proxy variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a redirect may lead from TLS to this URL without it. */
  readonly mayBePlain: (url: URL) => boolean;
  /** Code of the error for redirects that cannot be followed. */
  readonly errorCode: ErrorCode;
  /** How long to wait for the first byte of an answer, and for the next ones. */
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
  const agents = new Map<string, Agent>();
  const agentFor = ({ protocol, hostname }: URL, tls: TlsSettings = {}): Agent => {
    // A proxy cannot reach our loopback, so that never goes through one.
    const how = { keepAlive: true, ...(isLoopback(hostname) ? {} : { proxyEnv }) };
    const isPlain = protocol === 'http:';
    const key = JSON.stringify([how, isPlain ? 'plain' : tls]);
    const known = agents.get(key);
    if (known !== undefined) return known;
    const agent = isPlain ? new http.Agent(how) : new (https().Agent)({ ...how, ...tlsOptions(tls) });
    agents.set(key, agent);
    return agent;
  };
  return async (request) => {
    let { url, headers, tls } = request;
    for (let redirects = 0; ; redirects++) {
      const response = await exchange({ ...request, url, headers }, agentFor(url, tls), options.timeoutMs);
      const { location } = response.headers;
      const stays = location === undefined || request.body !== undefined;
      if (stays || !REDIRECTS.includes(response.status)) return response;
      response.body.destroy();
      if (redirects === MAX_REDIRECTS) {
        const message = `Cannot follow "${request.url.host}": more than ${MAX_REDIRECTS} redirects`;
        throw new OcibuildError(options.errorCode, message);
      }
      const next = redirectTarget(location, url, options);
      // A credential is for the host that it was given for, never for the storage that host points to.
      if (next.host !== url.host || next.protocol !== url.protocol) {
        headers = withoutAuthorization(headers);
        tls = undefined;
      }
      url = next;
    }
  };
}

function tlsOptions({ ca, cert, key, insecure }: TlsSettings): AgentOptions {
  return {
    ...(ca === undefined
      ? {}
      : { ca: [...process.getBuiltinModule('node:tls').getCACertificates('default'), ...ca] }),
    ...(cert === undefined ? {} : { cert, key }),
    ...(insecure === true ? { rejectUnauthorized: false } : {}),
  };
}

/** Whether the host is this machine, as written; names are not looked up. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function redirectTarget(location: string, from: URL, options: TransportOptions): URL {
  const next = URL.parse(location, from);
  const refuse = (to: string, why: string): OcibuildError =>
    new OcibuildError(options.errorCode, `Cannot follow redirect of "${from.host}"${to}: ${why}`);
  if (next === null) throw refuse('', `"${redact(location)}" is not a URL`);
  const downgrade = next.protocol === 'http:' && from.protocol === 'https:' && !options.mayBePlain(next);
  if ((next.protocol !== 'https:' && next.protocol !== 'http:') || downgrade) {
    throw refuse(` to "${next.protocol}//${next.host}"`, 'it is not HTTPS');
  }
  return next;
}

function withoutAuthorization(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'),
  );
}

function exchange(request: HttpRequest, agent: Agent, timeoutMs: number): Promise<HttpResponse> {
  const { url, method, headers, body: content, signal } = request;
  throwIfAborted(signal);
  return new Promise((resolve, reject) => {
    const { request: send } = url.protocol === 'http:' ? http : https();
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
      resolve({ status: body.statusCode ?? 0, headers: body.headers, body, url, timeoutMs });
    });
    if (!(content instanceof Readable)) {
      pending.end(content);
      return;
    }
    // An upload takes as long as it takes; only silence is a reason to give up.
    content.on('data', () => timer.refresh());
    pipeline(content, pending, (error) => {
      if (error) pending.destroy(error);
    });
  });
}
