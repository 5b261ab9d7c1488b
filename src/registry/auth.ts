import { isOcibuildError } from '../errors/error.ts';
import type { HttpRequest, HttpResponse } from '../http/transport.ts';
import type { Credential, CredentialStore } from './credentials.ts';
import { readBody } from './response-error.ts';

/** What an authorization is good for. */
export interface TokenScope {
  readonly registry: string;
  readonly repository: string;
  readonly actions: 'pull' | 'pull,push';
  /** A repository of the same registry to take blobs from while pushing. */
  readonly mountFrom?: string;
}

/** Values of the Authorization header for one build, by scope. */
export interface Authorizer {
  /** One that is still good, or undefined. */
  current(scope: TokenScope): string | undefined;
  /**
   * Answers a 401. Requests that are refused at the same time share one token.
   * @param challenge the `WWW-Authenticate` header
   * @throws AuthRefused
   */
  answer(challenge: string | undefined, scope: TokenScope, options: AnswerOptions): Promise<string>;
}

export interface AnswerOptions {
  /** What the refused request carried. */
  readonly rejected: string | undefined;
  readonly signal: AbortSignal;
}

export interface AuthDeps {
  readonly credentials: CredentialStore;
  /** Sends with retries and gives any final answer, also a refusal. */
  send(request: HttpRequest): Promise<HttpResponse>;
  /** Whether this URL may be asked without TLS. */
  isPlain(url: URL): boolean;
  now(): number;
}

/** Why no authorization could be had; the client makes the user's error of it. */
export class AuthRefused extends Error {}

interface Authorization {
  readonly header: string;
  readonly expiresMs: number;
}

interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** distribution-spec's token protocol: the life of a token that does not say. */
const DEFAULT_LIFE_S = 60;
const MAX_TOKEN_BYTES = 256 * 1024;
const CLIENT_ID = 'ocibuild';

export function createAuthorizer(deps: AuthDeps): Authorizer {
  const known = new Map<string, Authorization>();
  const pending = new Map<string, Promise<Authorization>>();
  const current = (scope: TokenScope): string | undefined => {
    const found = known.get(keyOf(scope));
    return found !== undefined && found.expiresMs > deps.now() ? found.header : undefined;
  };
  const answer: Authorizer['answer'] = async (challenge, scope, { rejected, signal }) => {
    const good = current(scope);
    if (good !== undefined && good !== rejected) return good;
    const key = keyOf(scope);
    let request = pending.get(key);
    if (request === undefined) {
      request = authorize(deps, { challenge, scope, signal }).finally(() => pending.delete(key));
      pending.set(key, request);
    }
    try {
      const found = await request;
      const lasts = found.expiresMs === Number.POSITIVE_INFINITY;
      if (lasts && found.header === rejected) throw new AuthRefused('it refused the credentials');
      known.set(key, found);
      return found.header;
    } catch (error) {
      // Another build asked for the shared token and was cancelled; this one was not.
      const foreign = isOcibuildError(error) && error.code === 'CANCELLED' && !signal.aborted;
      if (foreign) return await answer(challenge, scope, { rejected, signal });
      throw error;
    }
  };
  return { current, answer };
}

function keyOf({ registry, repository, actions, mountFrom }: TokenScope): string {
  return `${registry}/${repository} ${actions} ${mountFrom ?? ''}`;
}

/** The challenges of a `WWW-Authenticate` header, which may hold several. @see RFC 9110 §11.6.1 */
export function parseChallenges(header: string): Challenge[] {
  const found: { scheme: string; parameters: Record<string, string> }[] = [];
  const token =
    /\s*,?\s*(?:([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([\w!#$%&'*+.^`|~-]+)(?=[\s,]|$))/y;
  for (;;) {
    const match = token.exec(header);
    if (match === null) return found;
    const [, name, quoted, bare, scheme] = match;
    if (scheme !== undefined) found.push({ scheme: scheme.toLowerCase(), parameters: {} });
    const last = found.at(-1);
    if (name !== undefined && last)
      last.parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '';
  }
}

interface Refused {
  readonly challenge: string | undefined;
  readonly scope: TokenScope;
  readonly signal: AbortSignal;
}

async function authorize(deps: AuthDeps, { challenge, scope, signal }: Refused): Promise<Authorization> {
  const { credential } = await deps.credentials.find(scope, signal);
  if (credential?.kind === 'bearer') return lasting(`Bearer ${credential.token}`);
  const challenges = parseChallenges(challenge ?? '');
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer !== undefined) {
    const service = tokenService(deps, bearer, scope);
    return fetchToken(deps, { ...service, credential, signal });
  }
  const basic = challenges.some(({ scheme }) => scheme === 'basic');
  if (basic && credential?.kind === 'password') return lasting(basicHeader(credential));
  const asked = challenges.map(({ scheme }) => scheme).join(', ');
  throw new AuthRefused(asked === '' ? 'it asks for credentials' : `it asks for credentials (${asked})`);
}

function lasting(header: string): Authorization {
  return { header, expiresMs: Number.POSITIVE_INFINITY };
}

function basicHeader({ username, password }: Credential & { kind: 'password' }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

interface TokenService {
  readonly url: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
}

function tokenService(deps: AuthDeps, { parameters }: Challenge, scope: TokenScope): TokenService {
  const url = URL.parse(parameters.realm ?? '');
  const allowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && deps.isPlain(url));
  if (url === null || !allowed) throw new AuthRefused('its token service has no HTTPS address');
  // What the registry asks for may be less than what the build will need: pushing begins with a question.
  const { repository, actions, mountFrom } = scope;
  const own = repository === '' ? [] : [`repository:${repository}:${actions}`];
  const more = mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`];
  const asked = (parameters.scope ?? '').split(' ').filter((one) => one !== '');
  const others = asked.filter((one) => !one.startsWith(`repository:${repository}:`));
  return { url, service: parameters.service, scopes: [...new Set([...own, ...more, ...others])] };
}

type TokenRequest = TokenService & { credential: Credential | undefined; signal: AbortSignal };

async function fetchToken(deps: AuthDeps, request: TokenRequest): Promise<Authorization> {
  const { url, credential } = request;
  const startMs = deps.now();
  let response = credential === undefined ? await getToken(deps, request) : await postToken(deps, request);
  // Older services know only GET, some answer a POST with 401 whatever it says.
  if (credential?.kind === 'password' && [400, 401, 404, 405].includes(response.status)) {
    response.body.destroy();
    response = await getToken(deps, request);
  }
  if (response.status !== 200) {
    response.body.destroy();
    throw new AuthRefused(`its token service "${url.host}" refused (HTTP ${response.status})`);
  }
  const json = parseJson((await readBody(response, MAX_TOKEN_BYTES)).toString());
  const text = [json.token, json.access_token].find((value) => typeof value === 'string' && value !== '');
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new AuthRefused(`its token service "${url.host}" gave no token`);
  }
  const lifeS = typeof json.expires_in === 'number' && json.expires_in > 0 ? json.expires_in : DEFAULT_LIFE_S;
  // Renewed at nine tenths of its life, so that it does not end on the way.
  return { header: `Bearer ${text}`, expiresMs: startMs + lifeS * 900 };
}

/** @see https://distribution.github.io/distribution/spec/auth/token/ */
function getToken(
  deps: AuthDeps,
  { url: realm, service, scopes, credential, signal }: TokenRequest,
): Promise<HttpResponse> {
  const url = new URL(realm);
  if (service) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const authorization = credential?.kind === 'password' ? { authorization: basicHeader(credential) } : {};
  return deps.send({ method: 'GET', url, headers: { accept: 'application/json', ...authorization }, signal });
}

/** @see https://distribution.github.io/distribution/spec/auth/oauth/ */
function postToken(
  deps: AuthDeps,
  { url, service, scopes, credential, signal }: TokenRequest,
): Promise<HttpResponse> {
  const form = new URLSearchParams({ client_id: CLIENT_ID, service: service ?? '', scope: scopes.join(' ') });
  if (credential?.kind === 'refresh') {
    form.set('grant_type', 'refresh_token');
    form.set('refresh_token', credential.token);
  } else if (credential?.kind === 'password') {
    form.set('grant_type', 'password');
    form.set('username', credential.username);
    form.set('password', credential.password);
  }
  return deps.send({
    method: 'POST',
    url,
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
    signal,
  });
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
