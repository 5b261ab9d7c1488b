import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { MEDIA_TYPE } from '../../src/image/types.ts';
import { type Listening, listenOnLoopback } from './loopback.ts';

/** One request as the server saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly timeMs: number;
}

/** Answers a request itself, or returns false to let the registry answer. */
export type Fault = (request: IncomingMessage, response: ServerResponse, count: number) => boolean;

/** A real HTTP server that speaks the pull part of the distribution-spec and fails on demand. */
export interface FaultyRegistry extends Listening {
  readonly seen: SeenRequest[];
  /** Tried in order before the registry's own answer; `count` is how often this fault was asked. */
  fault(fault: Fault): void;
  /** Stores a blob; gives its digest. */
  blob(data: Buffer): `sha256:${string}`;
  /** Stores a manifest under a tag and its digest. */
  manifest(name: string, tag: string, data: Buffer, mediaType?: string): `sha256:${string}`;
}

export async function startFaultyRegistry(): Promise<FaultyRegistry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, { readonly data: Buffer; readonly mediaType: string }>();
  const faults: { readonly answer: Fault; count: number }[] = [];
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    seen.push({ method: request.method ?? '', path, headers: request.headers, timeMs: Date.now() });
    for (const fault of faults) if (fault.answer(request, response, fault.count++)) return;
    const [, name, kind, id = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(path) ?? [];
    const manifest = manifests.get(`${name}/${id}`);
    if (kind === 'manifests' && manifest !== undefined) {
      send(request, response, { data: manifest.data, type: manifest.mediaType });
    } else if (kind === 'blobs' && blobs.has(id)) {
      send(request, response, { data: blobs.get(id) ?? Buffer.alloc(0), type: 'application/octet-stream' });
    } else {
      const code = kind === 'blobs' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN';
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ errors: [{ code, message: `${id} is not here` }] }));
    }
  });
  return {
    ...(await listenOnLoopback(server)),
    seen,
    fault: (answer) => void faults.push({ answer, count: 0 }),
    blob(data) {
      const digest = digestOf(data);
      blobs.set(digest, data);
      return digest;
    },
    manifest(name, tag, data, mediaType = MEDIA_TYPE.manifest) {
      const digest = digestOf(data);
      for (const id of [tag, digest]) manifests.set(`${name}/${id}`, { data, mediaType });
      return digest;
    },
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { data, type }: { data: Buffer; type: string },
): void {
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
  const part = data.subarray(Number(from ?? 0));
  response.writeHead(from === undefined ? 200 : 206, {
    'content-type': type,
    'content-length': part.length,
    'docker-content-digest': digestOf(data),
    ...(from === undefined ? {} : { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` }),
  });
  response.end(request.method === 'HEAD' ? undefined : part);
}

function digestOf(data: Buffer): `sha256:${string}` {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}
