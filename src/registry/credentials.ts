import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';

/** A way to prove who we are to a registry. */
export type Credential =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An identity token: exchanged for access tokens. */
  | { readonly kind: 'refresh'; readonly token: string }
  /** Sent as it is. */
  | { readonly kind: 'bearer'; readonly token: string };

export interface FoundCredential {
  readonly credential?: Credential;
  /** Which entry of which file it is, or where nothing was found; for messages. */
  readonly origin: string;
}

/** Finds credentials; asks files and helpers at most once for each repository. */
export interface CredentialStore {
  /** @throws REGISTRY_CONFIG_INVALID for a file that cannot be read as JSON; CANCELLED */
  find(
    scope: { readonly registry: string; readonly repository: string },
    signal: AbortSignal,
  ): Promise<FoundCredential>;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Docker's own key for its hub. */
const HUB_KEY = 'https://index.docker.io/v1/';
const HUB_HOSTS = ['index.docker.io', 'docker.io', 'registry-1.docker.io'];

/** What Docker and the containers tools keep: only what is read here. */
interface AuthFile {
  readonly path: string;
  readonly auths: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers: Readonly<Record<string, string>>;
  readonly credsStore: string | undefined;
}

interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

/**
 * Credentials as other tools store them: `REGISTRY_AUTH_FILE`, Docker's config.json, and containers' auth.json, in this
 * order; in a file a helper of the host, the helper of all hosts, then the entries.
 */
export function createCredentialStore(env: Env): CredentialStore {
  const known = new Map<string, Promise<FoundCredential>>();
  return {
    find({ registry, repository }, signal) {
      const key = `${registry}/${repository}`;
      let found = known.get(key);
      if (found === undefined) {
        found = findCredential(env, { registry, repository }, signal);
        found.catch(() => known.delete(key));
        known.set(key, found);
      }
      return found;
    },
  };
}

async function findCredential(
  env: Env,
  { registry, repository }: { registry: string; repository: string },
  signal: AbortSignal,
): Promise<FoundCredential> {
  const looked: string[] = [];
  for (const path of authFiles(env)) {
    const file = readAuthFile(path);
    if (file === undefined) continue;
    looked.push(path);
    const helper = file.credHelpers[registry] ?? (file.credsStore || undefined);
    if (helper !== undefined) {
      const asked = await askHelper(helper, serverName(registry), { env, signal });
      // A helper that was ended says nothing about the registry, and what is found is kept.
      throwIfAborted(signal);
      const origin = `helper "docker-credential-${helper}" of ${path}`;
      if (typeof asked === 'object') return { credential: asked, origin };
      if (asked !== undefined) looked.push(`${origin} failed: ${asked}`);
    }
    for (const key of entryKeys(file.auths, registry, repository)) {
      const credential = readEntry(file.auths[key] ?? {});
      if (credential !== undefined) return { credential, origin: `entry "${key}" of ${path}` };
    }
  }
  return {
    origin: `no credentials for "${registry}"${looked.length === 0 ? ': no config file' : ` in ${looked.join(', ')}`}`,
  };
}

/** Where credentials may stand, most particular first. */
export function authFiles(env: Env): readonly string[] {
  const { HOME: home, XDG_RUNTIME_DIR: runtime, XDG_CONFIG_HOME: config } = env;
  return [
    ...(env.REGISTRY_AUTH_FILE ? [env.REGISTRY_AUTH_FILE] : []),
    ...(env.DOCKER_CONFIG
      ? [join(env.DOCKER_CONFIG, 'config.json')]
      : home
        ? [join(home, '.docker/config.json')]
        : []),
    ...(runtime ? [join(runtime, 'containers/auth.json')] : []),
    ...(config
      ? [join(config, 'containers/auth.json')]
      : home
        ? [join(home, '.config/containers/auth.json')]
        : []),
  ];
}

/** The name that helpers and Docker's entries know a registry by. */
export function serverName(registry: string): string {
  return registry === 'docker.io' ? HUB_KEY : registry;
}

function readAuthFile(path: string): AuthFile | undefined {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch {
    // Another user's file is no reason to refuse a public image.
    return undefined;
  }
  const json = parseObject(content);
  if (json === undefined) {
    throw new OcibuildError(
      'REGISTRY_CONFIG_INVALID',
      `Cannot read credentials from "${path}": it is not JSON`,
      {
        hint: 'repair the file, or log in again after moving it away',
      },
    );
  }
  const record = (value: unknown) => (typeof value === 'object' && value !== null ? value : {});
  return {
    path,
    auths: record(json.auths) as AuthFile['auths'],
    credHelpers: record(json.credHelpers) as AuthFile['credHelpers'],
    credsStore: typeof json.credsStore === 'string' ? json.credsStore : undefined,
  };
}

/** Entries that speak for a repository, the longest path first. @see containers-auth.json(5) */
function entryKeys(auths: AuthFile['auths'], registry: string, repository: string): string[] {
  const hosts = registry === 'docker.io' ? HUB_HOSTS : [registry];
  const parts = repository.split('/');
  const paths = parts.map((_, i) => parts.slice(0, parts.length - i).join('/'));
  const exact = hosts.flatMap((host) => [...paths.map((path) => `${host}/${path}`), host]);
  const hostOf = (key: string) => key.replace(/^https?:\/\//, '').split('/')[0] ?? '';
  const urls = Object.keys(auths).filter((key) => /^https?:\/\//.test(key) && hosts.includes(hostOf(key)));
  return [...exact, ...urls].filter((key) => Object.hasOwn(auths, key));
}

function readEntry(entry: AuthEntry): Credential | undefined {
  const { identitytoken, registrytoken } = entry;
  if (registrytoken) return { kind: 'bearer', token: registrytoken };
  if (identitytoken) return { kind: 'refresh', token: identitytoken };
  const decoded = Buffer.from(entry.auth ?? '', 'base64').toString();
  const colon = decoded.indexOf(':');
  const username = colon < 0 ? entry.username : decoded.slice(0, colon);
  const password = colon < 0 ? entry.password : decoded.slice(colon + 1).replace(/\0+$/, '');
  return username && password ? { kind: 'password', username, password } : undefined;
}

/** What a credential helper knows: undefined when it has nothing, a text when it failed.
 * @see https://github.com/docker/docker-credential-helpers#development */
async function askHelper(
  name: string,
  server: string,
  { env, signal }: { env: Env; signal: AbortSignal },
): Promise<Credential | string | undefined> {
  const { code, out } = await runHelper({ name, action: 'get', input: server, env, signal });
  if (code !== 0) return /credentials not found/i.test(out) ? undefined : out || `it ended with ${code}`;
  const { Username: username, Secret: secret } = parseObject(out) ?? {};
  if (typeof secret !== 'string' || secret === '') return undefined;
  if (username === '<token>') return { kind: 'refresh', token: secret };
  return { kind: 'password', username: String(username ?? ''), password: secret };
}

export interface HelperCall {
  readonly name: string;
  readonly action: 'get' | 'store' | 'erase';
  readonly input: string;
  readonly env: Env;
  readonly signal: AbortSignal;
}

/** Runs `docker-credential-NAME`; a helper that cannot be started gives code 127. `out` is stdout, without secrets
 * only when the call failed. */
export async function runHelper(call: HelperCall): Promise<{ readonly code: number; readonly out: string }> {
  const { name, action, input, env, signal } = call;
  // The name comes from a file: it must not lead to another program.
  if (!/^[\w.-]+$/.test(name)) return { code: 127, out: 'its name is not a word' };
  const child = spawn(`docker-credential-${name}`, [action], {
    env,
    signal,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = new Promise<{ code: number; failure?: string }>((done) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      done({ code: 127, failure: error.code === 'ENOENT' ? 'it is not on PATH' : error.message }),
    );
    child.once('close', (code) => done({ code: code ?? 1 }));
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [out, { code, failure }] = await Promise.all([text(child.stdout).catch(() => ''), ended]);
  return { code, out: failure ?? (code === 0 ? out : redact(out.trim()).slice(0, 200)) };
}

function parseObject(content: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const json: unknown = JSON.parse(content);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
