import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { digestBytes } from '../../../src/image/digest.ts';
import { daemonTarget, findDaemon } from '../../../src/transfer/daemon.ts';

const { signal } = new AbortController();
const MANIFEST = Buffer.from('{}');
const TOP = {
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestBytes(MANIFEST),
  size: MANIFEST.length,
};

/** Loads something into a daemon that answers so. */
async function load(answer: RequestListener): Promise<void> {
  const server = createServer((request, response) => {
    if (request.url === '/_ping') response.end('OK');
    else answer(request, response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  try {
    const { port } = server.address() as AddressInfo;
    const daemon = await findDaemon({ DOCKER_HOST: `tcp://127.0.0.1:${port}` }, signal);
    const target = daemonTarget(daemon, { entries: (top) => [top], signal });
    await target(TOP, (to) => to.putDocument(TOP, MANIFEST, signal));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const read = (request: IncomingMessage, then: () => void): void => void request.resume().once('end', then);

describe('daemonTarget()', () => {
  it('takes what the daemon says in the end', async () => {
    await load((request, response) => read(request, () => response.end('{"stream":"Loaded"}')));
    const refusing = load((request, response) => read(request, () => response.end('{"error":"no space"}')));
    await expect(refusing).rejects.toMatchObject({
      code: 'LOAD_FAILED',
      message: expect.stringContaining('no space'),
    });
  });

  it('says that the connection ended when it breaks in the middle of the answer', async () => {
    const breaking = load((request, response) =>
      read(request, () => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"stream":', () => response.destroy());
      }),
    );
    await expect(breaking).rejects.toMatchObject({
      code: 'LOAD_FAILED',
      message: expect.stringContaining('the connection ended'),
    });
  });
});
