import { isOcibuildError } from '../errors/error.ts';
import type { HttpRequest, HttpResponse } from '../http/transport.ts';
import { readBody } from './response-error.ts';

/** What a token is good for. */
export interface TokenScope {
  readonly registry: string;
  readonly repository: string;
}

/** Tokens of one build, by registry and repository. */
export interface TokenStore {
  /** A token that is still good, or undefined. */
  current(scope: TokenScope): string | undefined;
  /**
   * Answers a 401. Requests that are refused at the same time share one token.
   * @param rejected the token that the refused request carried.
   * @throws AuthRefused
   */
  answer(challenge: string | undefined, scope: TokenScope, options: AnswerOptions): Promise<string>;
}

export interface AnswerOptions {
  readonly rejected: string | undefined;
  readonly signal: AbortSignal;
}

export interface AuthDeps {
  /** Sends with retries and gives any final answer, also a refusal. */
  send(request: HttpRequest): Promise<HttpResponse>;
  /** Whether this URL may be asked without TLS. */
  isPlain(url: URL): boolean;
  now(): number;
}

/** Why no token could be had; the client makes the user's error of it. */
export class AuthRefused extends Error {}

interface Token {
  readonly text: string;
  readonly expiresMs: number;
}

interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** distribution-spec's token protocol: the life of a token that does not say. */
const DEFAULT_LIFE_S = 60;
const MAX_TOKEN_BYTES = 256 * 1024;

/** Anonymous Bearer tokens. */
export function createTokenStore(deps: AuthDeps): TokenStore {
  const tokens = new Map<string, Token>();
  const pending = new Map<string, Promise<Token>>();
  const keyOf = ({ registry, repository }: TokenScope): string => `${registry}/${repository}`;
  const current = (scope: TokenScope): string | undefined => {
    const token = tokens.get(keyOf(scope));
    return token !== undefined && token.expiresMs > deps.now() ? token.text : undefined;
  };
  const answer: TokenStore['answer'] = async (challenge, scope, { rejected, signal }) => {
    const known = current(scope);
    if (known !== undefined && known !== rejected) return known;
    const key = keyOf(scope);
    let request = pending.get(key);
    if (request === undefined) {
      request = fetchToken(deps, tokenUrl(deps, challenge, scope), signal).finally(() => pending.delete(key));
      pending.set(key, request);
    }
    try {
      const token = await request;
      tokens.set(key, token);
      return token.text;
    } catch (error) {
      // Another build asked for the shared token and was cancelled; this one was not.
      const foreign = isOcibuildError(error) && error.code === 'CANCELLED' && !signal.aborted;
      if (foreign) return await answer(challenge, scope, { rejected, signal });
      throw error;
    }
  };
  return { current, answer };
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

function tokenUrl(deps: AuthDeps, header: string | undefined, { repository }: TokenScope): URL {
  const challenges = parseChallenges(header ?? '');
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer === undefined) {
    const asked = challenges.map(({ scheme }) => scheme).join(', ');
    throw new AuthRefused(asked === '' ? 'it asks for credentials' : `it asks for credentials (${asked})`);
  }
  const url = URL.parse(bearer.parameters.realm ?? '');
  const allowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && deps.isPlain(url));
  if (url === null || !allowed) throw new AuthRefused('its token service has no HTTPS address');
  const { service, scope } = bearer.parameters;
  if (service !== undefined && service !== '') url.searchParams.set('service', service);
  url.searchParams.set('scope', scope || `repository:${repository}:pull`);
  return url;
}

async function fetchToken(deps: AuthDeps, url: URL, signal: AbortSignal): Promise<Token> {
  const startMs = deps.now();
  const response = await deps.send({ method: 'GET', url, headers: { accept: 'application/json' }, signal });
  if (response.status !== 200) {
    response.body.destroy();
    throw new AuthRefused(`its token service "${url.host}" refused (HTTP ${response.status})`);
  }
  const json = parseJson((await readBody(response.body, MAX_TOKEN_BYTES)).toString());
  const text = [json.token, json.access_token].find((value) => typeof value === 'string' && value !== '');
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new AuthRefused(`its token service "${url.host}" gave no token`);
  }
  const lifeS = typeof json.expires_in === 'number' && json.expires_in > 0 ? json.expires_in : DEFAULT_LIFE_S;
  // Renewed at nine tenths of its life, so that it does not end on the way.
  return { text, expiresMs: startMs + lifeS * 900 };
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
