/** A server of static files on the loopback, that remembers what it was asked for. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join, resolve, sep } from 'node:path';
import { listenOnLoopback } from './loopback.ts';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly authorization: string | undefined;
}

export type WebServer = AsyncDisposable & {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly seen: SeenRequest[];
};

/** True: the request was answered. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Serves the files below `dir` with ETag and Last-Modified; `handle` may answer first. */
export async function startWebServer(dir: string, handle: Handler = () => false): Promise<WebServer> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '/', headers } = request;
    const path = decodeURIComponent(new URL(url, 'http://local').pathname);
    response.on('close', () =>
      seen.push({ method, path, status: response.statusCode, authorization: headers.authorization }),
    );
    if (!handle(request, response)) void serveFile(join(dir, path), { dir, request, response });
  });
  const listening = await listenOnLoopback(server);
  return { ...listening, url: `http://${listening.host}`, seen };
}

async function serveFile(
  path: string,
  { dir, request, response }: { dir: string; request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  try {
    if (!resolve(path).startsWith(resolve(dir) + sep)) throw new RangeError('outside');
    const [body, { mtime }] = [await readFile(path), await stat(path)];
    const etag = `"${createHash('sha1').update(body).digest('hex')}"`;
    response.setHeader('etag', etag);
    response.setHeader('last-modified', mtime.toUTCString());
    if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else
      response.writeHead(200, { 'content-length': body.length }).end(request.method === 'HEAD' ? '' : body);
  } catch {
    response.writeHead(404).end('not here');
  }
}
