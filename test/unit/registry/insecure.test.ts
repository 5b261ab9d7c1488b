import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { insecureOptions } from '../../../src/registry/insecure.ts';

const signal = new AbortController().signal;

describe('insecureOptions()', () => {
  it('takes a server that does not speak TLS for plain HTTP, and all others not', async () => {
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    try {
      const { port } = server.address() as { port: number };
      // Not written as a loopback address, which is plain HTTP in any case.
      const host = `0.0.0.0:${port}`;
      expect(await insecureOptions([host, 'nobody.invalid'], signal)).toEqual({
        plainHttp: [host],
        skipVerify: ['nobody.invalid'],
      });
    } finally {
      server.close();
    }
  });
});
