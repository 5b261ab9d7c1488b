/** A local S3 server that checks signatures, made as strict as S3 with bodies, and that can fail on request. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { join } from 'node:path';
import S3rver from '@20minutes/s3rver';
import { listenOnLoopback } from './loopback.ts';

export interface S3Request {
  readonly method: string;
  /** Key, or the query where one stands. */
  readonly what: string;
  readonly headers: IncomingMessage['headers'];
}

export type S3Server = AsyncDisposable & {
  readonly url: string;
  readonly seen: S3Request[];
  /** Variables with the credentials that the server knows. */
  readonly env: Readonly<Record<string, string>>;
  /** The bytes of an object; undefined: it is not there. */
  object(key: string): Buffer | undefined;
  /** Parts of uploads that were neither completed nor aborted. */
  openUploads(): number;
  age(key: string, hours: number): void;
  /** Answers instead of the server; false: let it answer. */
  fault: (request: S3Request, response: ServerResponse) => boolean;
};

export const BUCKET = 'builds';

/** Starts the server with one bucket, kept in `dir`. */
export async function startS3Server(dir: string): Promise<S3Server> {
  const s3rver = new S3rver({
    ...{ directory: dir, silent: true, vhostBuckets: false },
    configureBuckets: [{ name: BUCKET }],
  });
  await s3rver.configureBuckets();
  const answer = createServer(s3rver.callback());
  const inner = await listenOnLoopback(answer);
  const uploads = join(dir, BUCKET, '._S3rver_uploads');
  /** What the inner server still works on, for clients that may have gone. */
  const forwarded = new Set<Promise<unknown>>();
  const aborted = new Set<string>();
  const server = createServer((request, response) => void handle(request, response));
  const listening = await listenOnLoopback(server);
  const state: S3Server = {
    url: `http://${listening.host}`,
    seen: [],
    env: {
      AWS_ACCESS_KEY_ID: 'S3RVER',
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
      AWS_EC2_METADATA_DISABLED: 'true',
      HOME: dir,
    },
    object: (key) => {
      const path = objectPath(key);
      return existsSync(path) ? readFileSync(path) : undefined;
    },
    openUploads: () => (existsSync(uploads) ? readdirSync(uploads).length : 0),
    age: (key, hours) => {
      const then = Date.now() / 1000 - hours * 3600;
      utimesSync(objectPath(key), then, then);
    },
    fault: () => false,
    async [Symbol.asyncDispose]() {
      await listening[Symbol.asyncDispose]();
      await inner[Symbol.asyncDispose]();
    },
  };
  return state;

  function objectPath(key: string): string {
    return join(dir, BUCKET, `${key}._S3rver_object`);
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks);
    const { method = '', headers } = request;
    const url = new URL(request.url ?? '/', state.url);
    const key = decodeURIComponent(url.pathname).slice(BUCKET.length + 2);
    const seen = { method, what: url.search === '' ? key : url.search.slice(1), headers };
    state.seen.push(seen);
    if (state.fault(seen, response)) return;
    // S3 compares the body with the hash that was signed; this server does not.
    if (createHash('sha256').update(body).digest('hex') !== headers['x-amz-content-sha256']) {
      refuse(response, 400, 'XAmzContentSHA256Mismatch');
      return;
    }
    const uploadId = url.searchParams.get('uploadId');
    if (method === 'DELETE' && uploadId !== null) {
      // The one call that it lacks. A part that it is about to write would bring the upload back.
      aborted.add(uploadId);
      await Promise.all(forwarded);
      rmSync(join(uploads, uploadId), { recursive: true });
      response.writeHead(204).end();
      return;
    }
    if (uploadId !== null && aborted.has(uploadId)) {
      refuse(response, 404, 'NoSuchUpload');
      return;
    }
    // The signature covers the Host header, so it stays what the client sent.
    const [host = '', port = ''] = inner.host.split(':');
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    forwarded.add(answered);
    const forward = send({ host, port, method, path: request.url ?? '/', headers }, (copy) => {
      resolve();
      response.writeHead(copy.statusCode ?? 500, copy.headers);
      copy.pipe(response);
    });
    forward.on('error', () => {
      resolve();
      response.destroy();
    });
    forward.end(body);
    await answered;
    forwarded.delete(answered);
  }
}

/** An error as S3 writes it. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  const xml = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>said ${code}</Message></Error>`;
  response.writeHead(status, { 'content-type': 'application/xml', ...headers }).end(xml);
}
