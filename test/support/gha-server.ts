/** The cache service of GitHub Actions in both of its protocols, strict in what it takes. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listenOnLoopback } from './loopback.ts';

interface Entry {
  readonly id: number;
  readonly key: string;
  readonly version: string;
  readonly ref: string;
  /** In the order of arrival. */
  readonly chunks: Map<string, Buffer>;
  /** What the storage has under the address. */
  content: Buffer | undefined;
  finished: boolean;
}

export interface GhaRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export type GhaServer = AsyncDisposable & {
  readonly url: string;
  readonly seen: GhaRequest[];
  readonly entries: Entry[];
  /** Variables of a job on `ref` that may read `others` as well. */
  env(protocol: 1 | 2, ref?: string, others?: readonly string[]): Readonly<Record<string, string>>;
  /** Claims a key without writing it, as a job that died did. */
  claim(key: string, ref?: string): void;
  /** All signed addresses end. */
  endAddresses(): void;
  /** Answers instead of the server; false: let it answer. */
  fault: (request: GhaRequest, response: ServerResponse) => boolean;
};

const TWIRP = '/results/twirp/github.actions.results.api.v1.CacheService/';
const FIRST = '/first/_apis/artifactcache/';

export async function startGhaServer(): Promise<GhaServer> {
  let addresses = new Map<string, Entry>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '/', headers } = request;
      const seen = { method, path: url, headers, body: Buffer.concat(chunks) };
      state.seen.push(seen);
      if (state.fault(seen, response)) return;
      const path = new URL(url, state.url);
      if (path.pathname.startsWith('/storage/')) storage(seen, path, response);
      else if (path.pathname.startsWith(TWIRP)) twirp(seen, path.pathname.slice(TWIRP.length), response);
      else if (path.pathname.startsWith(FIRST)) first(seen, path, response);
      else reply(response, 404, { code: 'bad_route', msg: 'no such thing' });
    });
  });
  const listening = await listenOnLoopback(server);
  const state: GhaServer = {
    ...listening,
    url: `http://${listening.host}`,
    seen: [],
    entries: [],
    fault: () => false,
    env: (protocol, ref = 'refs/heads/main', others = []) => ({
      ...(protocol === 1
        ? { ACTIONS_CACHE_URL: `${state.url}/first/` }
        : { ACTIONS_RESULTS_URL: `${state.url}/results/`, ACTIONS_CACHE_SERVICE_V2: 'true' }),
      ACTIONS_RUNTIME_TOKEN: makeToken(ref, others),
    }),
    claim: (key, ref = 'refs/heads/main') => void reserve(key, 'any', ref),
    endAddresses: () => {
      addresses = new Map();
    },
  };
  return state;

  function reserve(key: string, version: string, ref: string): Entry | undefined {
    const taken = state.entries.some(
      (entry) =>
        entry.key === key && entry.ref === ref && (entry.version === version || entry.version === 'any'),
    );
    if (taken) return undefined;
    const id = state.entries.length + 1;
    const entry: Entry = { id, key, version, ref, chunks: new Map(), content: undefined, finished: false };
    state.entries.push(entry);
    return entry;
  }

  /** The ref of the job first, then the others; the whole key before its beginning, the newest of several. */
  function find(keys: readonly string[], version: string, refs: readonly string[]): Entry | undefined {
    for (const ref of refs) {
      const own = state.entries.filter((e) => e.finished && e.ref === ref && e.version === version).reverse();
      for (const key of keys) {
        const found = own.find((e) => e.key === key) ?? own.find((e) => e.key.startsWith(key));
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  function addressOf(entry: Entry): string {
    const sig = randomUUID();
    addresses.set(sig, entry);
    return `${state.url}/storage/${entry.id}?sig=${sig}`;
  }

  function first({ method, headers, body }: GhaRequest, url: URL, response: ServerResponse): unknown {
    const refs = refsOf(headers.authorization);
    if (refs === undefined) return reply(response, 401, { typeKey: 'Unauthorized', message: 'bad token' });
    if (headers.accept !== 'application/json;api-version=6.0-preview.1') return reply(response, 400, {});
    const [what, id] = url.pathname.slice(FIRST.length).split('/');
    const entry = state.entries.find((each) => String(each.id) === id);
    if (method === 'GET' && what === 'cache') {
      const { keys = '', version = '' } = Object.fromEntries(url.searchParams);
      const found = find(keys.split(','), version, refs);
      if (found === undefined) return response.writeHead(204).end();
      return reply(response, 200, {
        cacheKey: found.key,
        scope: found.ref,
        archiveLocation: addressOf(found),
      });
    }
    if (method === 'POST' && what === 'caches' && id === undefined) {
      const { key, version } = JSON.parse(body.toString()) as { key: string; version: string };
      const made = reserve(key, version, refs[0] ?? '');
      const taken = {
        typeKey: 'ArtifactCacheItemAlreadyExistsException',
        message: `Cache already exists. Key: ${key}`,
      };
      return made === undefined ? reply(response, 409, taken) : reply(response, 201, { cacheId: made.id });
    }
    if (entry === undefined || entry.finished) return reply(response, 400, { message: 'no such upload' });
    if (method === 'PATCH') {
      const [, from = '', to = ''] = /^bytes (\d+)-(\d+)\/\*$/.exec(headers['content-range'] ?? '') ?? [];
      if (Number(to) - Number(from) + 1 !== body.length)
        return reply(response, 416, { message: 'bad range' });
      entry.chunks.set(from, body);
      return response.writeHead(204).end();
    }
    const { size } = JSON.parse(body.toString()) as { size: number };
    const parts = [...entry.chunks].sort(([a], [b]) => Number(a) - Number(b));
    let offset = 0;
    for (const [from, bytes] of parts) {
      if (Number(from) !== offset) return reply(response, 400, { message: 'a chunk is missing' });
      offset += bytes.length;
    }
    if (offset !== size) return reply(response, 400, { message: `size ${size} is not ${offset}` });
    entry.content = Buffer.concat(parts.map(([, bytes]) => bytes));
    entry.finished = true;
    return response.writeHead(204).end();
  }

  function twirp({ method, headers, body }: GhaRequest, call: string, response: ServerResponse): unknown {
    const refs = refsOf(headers.authorization);
    if (refs === undefined) return reply(response, 401, { code: 'unauthenticated', msg: 'bad token' });
    if (method !== 'POST' || headers['content-type'] !== 'application/json') {
      return reply(response, 404, { code: 'bad_route', msg: 'not Twirp' });
    }
    const about = JSON.parse(body.toString()) as Record<string, unknown>;
    const [key, version] = [String(about.key), String(about.version)];
    if (call === 'GetCacheEntryDownloadURL') {
      const found = find([key, ...(about.restore_keys as string[])], version, refs);
      if (found === undefined)
        return reply(response, 200, { ok: false, signed_download_url: '', matched_key: '' });
      return reply(response, 200, {
        ok: true,
        signed_download_url: addressOf(found),
        matched_key: found.key,
      });
    }
    if (call === 'CreateCacheEntry') {
      const made = reserve(key, version, refs[0] ?? '');
      if (made === undefined)
        return reply(response, 409, { code: 'already_exists', msg: 'cache entry already exists' });
      return reply(response, 200, { ok: true, signed_upload_url: addressOf(made) });
    }
    const entry = state.entries.find((e) => e.key === key && e.version === version && e.ref === refs[0]);
    if (entry === undefined) return reply(response, 404, { code: 'not_found', msg: 'no such entry' });
    const ok = typeof about.size_bytes === 'string' && Number(about.size_bytes) === entry.content?.length;
    if (ok) entry.finished = true;
    return reply(response, 200, { ok, entry_id: String(entry.id) });
  }

  /** Azure's blobs. */
  function storage({ method, headers, body }: GhaRequest, url: URL, response: ServerResponse): unknown {
    const entry = addresses.get(url.searchParams.get('sig') ?? '');
    if (entry === undefined) return azureError(response, 403, 'AuthenticationFailed');
    if (headers.authorization !== undefined) return azureError(response, 400, 'InvalidAuthenticationInfo');
    const comp = url.searchParams.get('comp');
    if (method === 'GET') {
      const content = entry.content ?? Buffer.alloc(0);
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
      const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
      response.writeHead(from === 0 ? 200 : 206, {
        ...(from === 0 ? {} : range),
        'content-length': content.length - from,
      });
      return response.end(content.subarray(from));
    }
    if (entry.finished) return azureError(response, 409, 'BlobImmutable');
    if (comp === 'block') {
      entry.chunks.set(url.searchParams.get('blockid') ?? '', body);
    } else if (comp === 'blocklist') {
      const ids = [...body.toString().matchAll(/<Latest>([^<]*)<\/Latest>/g)].map(([, id = '']) => id);
      const blocks = ids.map((id) => entry.chunks.get(id));
      if (blocks.includes(undefined)) return azureError(response, 400, 'InvalidBlockList');
      entry.content = Buffer.concat(blocks as Buffer[]);
    } else if (headers['x-ms-blob-type'] === 'BlockBlob') {
      entry.content = body;
    } else return azureError(response, 400, 'MissingRequiredHeader');
    return response.writeHead(201).end();
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function azureError(response: ServerResponse, status: number, code: string): void {
  response
    .writeHead(status)
    .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}

export function makeToken(
  ref: string,
  others: readonly string[] = [],
  endsMs: number = Date.now() + 60_000,
): string {
  const ac = [...others.map((Scope) => ({ Scope, Permission: 1 })), { Scope: ref, Permission: 3 }];
  const part = (claims: unknown): string => Buffer.from(JSON.stringify(claims)).toString('base64url');
  return [
    part({ alg: 'none' }),
    part({ ac: JSON.stringify(ac), exp: Math.floor(endsMs / 1000) }),
    'sig',
  ].join('.');
}

/** What the token lets its job read, its own ref first. */
function refsOf(authorization: string | undefined): readonly string[] | undefined {
  const [, claims] = /^Bearer [^.]+\.([^.]+)\.sig$/.exec(authorization ?? '') ?? [];
  if (claims === undefined) return undefined;
  const { ac } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { ac: string };
  const list = JSON.parse(ac) as { Scope: string; Permission: number }[];
  return list.sort((a, b) => b.Permission - a.Permission).map(({ Scope }) => Scope);
}
