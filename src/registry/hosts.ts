import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'smol-toml';
import { OcibuildError } from '../errors/error.ts';
import type { TlsSettings } from '../http/transport.ts';
import { isPlain, registryUrl } from './address.ts';

/** One server that can be asked for a registry's content. */
export interface Endpoint {
  /** Ends with `/`; calls go below it (`v2/…` is part of it). */
  readonly api: URL;
  /** The registry itself; mirrors are asked for reading only, and told whose content is meant. */
  readonly isOrigin: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls?: TlsSettings;
}

type Env = Readonly<Record<string, string | undefined>>;
type Table = Readonly<Record<string, unknown>>;

/** Where other tools look, the user's own first. */
function hostDirs(env: Env): readonly string[] {
  const config = env.XDG_CONFIG_HOME || (env.HOME ? join(env.HOME, '.config') : undefined);
  return [
    ...(config === undefined ? [] : [join(config, 'ocibuild/certs.d')]),
    '/etc/ocibuild/certs.d',
    '/etc/containerd/certs.d',
    '/etc/docker/certs.d',
  ];
}

/**
 * The servers for a registry in the order they are asked: mirrors of the first `hosts.toml` that is found, then the
 * registry.
 * @throws REGISTRY_CONFIG_INVALID
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function endpointsOf(
  registry: string,
  {
    env,
    plainHttp,
    skipVerify = false,
  }: { readonly env: Env; readonly plainHttp: readonly string[]; readonly skipVerify?: boolean },
): readonly Endpoint[] {
  const plainOrigin: Endpoint = {
    api: new URL('v2/', registryUrl(registry, plainHttp)),
    isOrigin: true,
    headers: {},
    ...(skipVerify ? { tls: { insecure: true } } : {}),
  };
  const names = [
    registry,
    registry.replace(':', '_'),
    registry.replace(/^(.*):(\d+)$/, '$1_$2_'),
    '_default',
  ];
  for (const dir of hostDirs(env).flatMap((top) => names.map((name) => join(top, name)))) {
    const file = join(dir, 'hosts.toml');
    if (existsSync(file)) return readHosts(file, dir, { registry, plainOrigin, plainHttp });
    const tls = dir.endsWith('_default') ? undefined : certificatesIn(dir);
    if (tls !== undefined) return [{ ...plainOrigin, tls: { ...tls, ...plainOrigin.tls } }];
  }
  return [plainOrigin];
}

interface HostsContext {
  readonly registry: string;
  readonly plainOrigin: Endpoint;
  readonly plainHttp: readonly string[];
}

function readHosts(file: string, dir: string, context: HostsContext): readonly Endpoint[] {
  let table: Table;
  try {
    table = parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw invalid(file, why ?? 'unknown', cause);
  }
  const hosts = isTable(table.host) ? Object.entries(table.host) : [];
  const mirrors = hosts.flatMap(([url, host]): Endpoint[] => {
    if (!isTable(host)) throw invalid(file, `host "${url}" is not a table`);
    if (!readable(host)) return [];
    return [{ ...serverAt(url, host, { file, dir, context }), isOrigin: false }];
  });
  if (table.server === undefined)
    return [...mirrors, { ...context.plainOrigin, ...tlsOf(table, { file, dir }) }];
  const origin = serverAt(String(table.server), table, { file, dir, context });
  return [...mirrors, { ...origin, isOrigin: true }];
}

/** A mirror that can only be pushed to is of no use for reading. */
function readable({ capabilities }: Table): boolean {
  if (!Array.isArray(capabilities)) return true;
  return capabilities.includes('pull') && capabilities.includes('resolve');
}

function serverAt(
  text: string,
  table: Table,
  { file, dir, context }: { file: string; dir: string; context: HostsContext },
): Omit<Endpoint, 'isOrigin'> {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `https://${text}`);
  if (url === null) throw invalid(file, `"${text}" is not the address of a server`);
  // Without a scheme loopback needs no TLS; with one it is taken at its word.
  if (!/^https?:/.test(text) && isPlain(url, context.plainHttp)) url.protocol = 'http:';
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = table.override_path === true ? `${path}/` : `${path}/v2/`;
  const header = isTable(table.header) ? table.header : {};
  const headers = Object.fromEntries(
    Object.entries(header).map(([name, value]) => [name, [value].flat().map(String).join(', ')]),
  );
  return { api: url, headers, ...tlsOf(table, { file, dir }) };
}

function tlsOf(table: Table, { file, dir }: { file: string; dir: string }): Pick<Endpoint, 'tls'> {
  const read = (name: unknown): string => {
    try {
      return readFileSync(resolve(dir, String(name)), 'utf8');
    } catch (cause) {
      throw invalid(file, `it names "${String(name)}", which cannot be read`, cause);
    }
  };
  const ca = table.ca === undefined ? [] : [table.ca].flat().map(read);
  const clients = table.client === undefined ? [] : [table.client].flat();
  // A pair of files stands as a list of its own; one file holds both.
  const pair = Array.isArray(table.client) && Array.isArray(table.client[0]) ? table.client[0] : clients;
  const [cert, key = cert] = pair;
  const tls: TlsSettings = {
    ...(ca.length === 0 ? {} : { ca }),
    ...(cert === undefined ? {} : { cert: read(cert), key: read(key) }),
    ...(table.skip_verify === true ? { insecure: true } : {}),
  };
  return Object.keys(tls).length === 0 ? {} : { tls };
}

/** Docker's own form: `ca.crt`, `client.cert` and `client.key` beside one another. */
function certificatesIn(dir: string): TlsSettings | undefined {
  let names: string[];
  try {
    names = readdirSync(dir).sort();
  } catch {
    return undefined;
  }
  const read = (name: string): string => readFileSync(join(dir, name), 'utf8');
  const ca = names.filter((name) => name.endsWith('.crt')).map(read);
  const cert = names.find((name) => name.endsWith('.cert'));
  const key = cert?.replace(/cert$/, 'key');
  const pair = cert !== undefined && key !== undefined && names.includes(key);
  if (ca.length === 0 && !pair) return undefined;
  return { ...(ca.length === 0 ? {} : { ca }), ...(pair ? { cert: read(cert), key: read(key) } : {}) };
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(file: string, why: string, cause?: unknown): OcibuildError {
  return new OcibuildError('REGISTRY_CONFIG_INVALID', `Cannot use "${file}": ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'see docs/registries.md for what the file may hold',
  });
}
