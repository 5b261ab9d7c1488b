import { type IncomingMessage, type Server, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Listening extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
}

/** Starts a server on a free port of the loopback; disposing cuts its connections. */
export async function listenOnLoopback(server: Server): Promise<Listening> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Lets another server answer. The Host header stays, so that the addresses in its answers lead back here. */
export function passOn(
  target: string,
  { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  path: string = request.url ?? '/',
): void {
  const [host = '', port = ''] = target.split(':');
  const { method = 'GET', headers } = request;
  const pass = send({ host, port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  pass.on('error', () => response.destroy());
  request.on('close', () => request.complete || pass.destroy());
  request.pipe(pass);
}
