import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A registry behind a server that notes what is asked, and that can be stopped or made to lie. */
export interface CountingProxy extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** `METHOD path-without-/v2/`, in order; the version check is left out. */
  readonly seen: string[];
  /** Gives what was seen since the last call. */
  take(): string[];
  /** Bytes of answers since the last call. */
  takeBytes(): number;
  /** Changes bytes of answers whose path matches; undefined: no more. */
  corrupt(path: RegExp | undefined): void;
  /** Answers what matches only once `until` holds. */
  hold(path: RegExp, until: () => boolean): void;
  /** Ends the server: its port refuses connections. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
}

export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const [hostname = '', targetPort] = target.split(':');
  const seen: string[] = [];
  let lie: RegExp | undefined;
  let held: { path: RegExp; until: () => boolean } | undefined;
  let port = 0;
  let bytes = 0;
  const server = createServer((incoming, outgoing) => {
    const { method = 'GET', url: path = '/', headers } = incoming;
    if (path !== '/v2/') seen.push(`${method} ${path.replace(/^\/v2\//, '')}`);
    const forwarded = request({ hostname, port: targetPort, method, path, headers }, async (answer) => {
      while (held?.path.test(path) && !held.until() && !outgoing.destroyed) await sleep(10);
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on('data', (data: Buffer) => {
        bytes += data.length;
        if (lie?.test(path)) data[data.length >> 1] = (data[data.length >> 1] ?? 0) ^ 1;
        outgoing.write(data);
      });
      answer.on('end', () => outgoing.end());
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  const listen = (): Promise<void> =>
    new Promise((done) => {
      server.listen(port, '127.0.0.1', () => {
        port = (server.address() as AddressInfo).port;
        done();
      });
    });
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  await listen();
  return {
    host: `127.0.0.1:${port}`,
    seen,
    take: () => seen.splice(0),
    takeBytes() {
      const taken = bytes;
      bytes = 0;
      return taken;
    },
    corrupt(path) {
      lie = path;
    },
    hold(path, until) {
      held = { path, until };
    },
    stop,
    start: listen,
    [Symbol.asyncDispose]: stop,
  };
}
