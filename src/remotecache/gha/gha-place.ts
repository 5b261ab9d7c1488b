import { createHash } from 'node:crypto';
import { OcibuildError } from '../../errors/error.ts';
import { goBool } from '../../util/go-bool.ts';
import { parseDuration } from '../../util/go-duration.ts';
import type { GhaCacheOptions } from '../types.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Which service, and what it lets us do. */
export interface GhaPlace {
  readonly version: 1 | 2;
  /** Ends with "/". */
  readonly url: URL;
  readonly token: string;
  /** Refs whose entries this job may read, the one that it writes to first; one empty name where the token does not say. */
  readonly refs: readonly string[];
}

export interface GhaSettings {
  readonly scope: string;
  readonly timeoutMs: number;
  /** @throws CACHE_AUTH_FAILED outside of a workflow, or with a token that ended */
  place(): GhaPlace;
}

const DEFAULT_SCOPE = 'ocibuild';
const DEFAULT_TIMEOUT = '10m';
/** Bit of a ref's permission in the token. */
const MAY_WRITE = 2;
const EXPORT_HINT =
  'GitHub gives it to actions only: hand it on with core.exportVariable in a step of actions/github-script, or use crazy-max/ghaction-github-runtime (see docs/ci.md)';

/** What the options and the environment say. @throws USAGE_INVALID */
export function ghaSettings(options: GhaCacheOptions, env: Env): GhaSettings {
  const scope = options.scope || DEFAULT_SCOPE;
  // Keys have 512 characters at most, and stand in a list.
  if (!/^[^,\p{Cc}]{1,256}$/u.test(scope)) throw usage(`scope=${scope}`, 'expected a name without commas');
  const timeoutNs = parseDuration(options.timeout ?? DEFAULT_TIMEOUT);
  if (timeoutNs === undefined || timeoutNs <= 0) {
    throw usage(`timeout=${options.timeout}`, 'expected a time such as 10m');
  }
  const { version } = options;
  if (version !== undefined && version !== 1 && version !== 2)
    throw usage(`version=${version}`, 'expected 1 or 2');
  const text = { 1: options.url || env.ACTIONS_CACHE_URL, 2: options.urlV2 || env.ACTIONS_RESULTS_URL };
  for (const each of [options.url, options.urlV2]) {
    if (each && !isUrl(each)) throw usage(`url=${each}`, 'expected a URL such as https://cache.example/');
  }
  return {
    scope,
    timeoutMs: timeoutNs / 1e6,
    place() {
      const chosen = version ?? chooseVersion(options, env);
      const url = text[chosen];
      if (!url) throw missing(chosen === 1 ? 'ACTIONS_CACHE_URL' : 'ACTIONS_RESULTS_URL');
      if (!isUrl(url)) throw missing(chosen === 1 ? 'ACTIONS_CACHE_URL' : 'ACTIONS_RESULTS_URL', 'is no URL');
      const token = options.token || env.ACTIONS_RUNTIME_TOKEN;
      if (!token) throw missing('ACTIONS_RUNTIME_TOKEN');
      return { version: chosen, url: new URL(url.replace(/\/*$/, '/')), token, refs: refsOf(token) };
    },
  };
}

/** Entries of another version of what we keep are not found. */
export const GHA_VERSION: string = createHash('sha256').update('ocibuild cache 1').digest('hex');

/** All keys of an index begin so; a number follows, for entries cannot be changed. */
export function indexKey(scope: string, ref: string): string {
  return `ocibuild-index-1-${scope}-${createHash('sha256').update(ref).digest('hex').slice(0, 8)}#`;
}

export function blobKey(digest: string): string {
  return `ocibuild-blob-1-${digest}#`;
}

function chooseVersion(options: GhaCacheOptions, env: Env): 1 | 2 {
  if (options.url || options.urlV2) return options.urlV2 ? 2 : 1;
  if (goBool(env.ACTIONS_CACHE_SERVICE_V2 ?? '') === true) return 2;
  return env.ACTIONS_CACHE_URL ? 1 : 2;
}

/** The token is a JWT that tells its refs (`ac`) and its end (`exp`); the service checks it, we only read it. */
function refsOf(token: string): readonly string[] {
  const claims = decode(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  if (typeof claims.exp === 'number' && claims.exp * 1000 < Date.now()) {
    const message = `Cannot use the GitHub cache: the token of ACTIONS_RUNTIME_TOKEN ended at ${new Date(claims.exp * 1000).toISOString()}`;
    throw new OcibuildError('CACHE_AUTH_FAILED', message, { hint: 'tokens end with their job' });
  }
  const list: unknown = typeof claims.ac === 'string' ? Object.values(decode(claims.ac)) : [];
  const refs = (list as unknown[]).flatMap((each) => {
    const { Scope: name, Permission: permission } = Object(each) as Record<string, unknown>;
    return typeof name === 'string' ? [{ name, writes: (Number(permission) & MAY_WRITE) !== 0 }] : [];
  });
  const ordered = [...refs.filter(({ writes }) => writes), ...refs.filter(({ writes }) => !writes)];
  return ordered.length === 0 ? [''] : ordered.map(({ name }) => name);
}

function decode(json: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(json)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function isUrl(text: string): boolean {
  return /^https?:\/\/[^/]/.test(text) && URL.canParse(text);
}

function missing(variable: string, what = 'is not set'): OcibuildError {
  return new OcibuildError('CACHE_AUTH_FAILED', `Cannot use the GitHub cache: ${variable} ${what}`, {
    hint: EXPORT_HINT,
  });
}

function usage(what: string, why: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use a GitHub cache with "${what}": ${why}`);
}
