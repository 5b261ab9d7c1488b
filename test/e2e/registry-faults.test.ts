import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestBytes } from '../../src/image/digest.ts';
import { parseReference, type Reference } from '../../src/image/reference.ts';
import { type Descriptor, MEDIA_TYPE } from '../../src/image/types.ts';
import { createResolver } from '../../src/registry/resolver.ts';
import type { Resolver } from '../../src/registry/types.ts';
import { type FaultyRegistry, startFaultyRegistry } from '../support/faulty-registry.ts';

const signal = new AbortController().signal;
const EMPTY = { mediaType: MEDIA_TYPE.config, digest: `sha256:${'1'.repeat(64)}`, size: 2 };
const MANIFEST = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.manifest, config: EMPTY, layers: [] }),
);
const DATA = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));

interface Scene {
  readonly server: FaultyRegistry;
  readonly resolver: Resolver;
  readonly ref: Reference;
  readonly layer: Descriptor;
}

async function scene(
  run: (scene: Scene) => Promise<void>,
  options: { timeoutMs?: number } = {},
): Promise<void> {
  await using server = await startFaultyRegistry();
  server.manifest('app', 'v0', MANIFEST);
  const layer = { mediaType: MEDIA_TYPE.layerTar, digest: server.blob(DATA), size: DATA.length };
  const resolver = createResolver({ env: {}, retryDelayMs: 5, ...options });
  await run({ server, resolver, ref: parseReference(`${server.host}/app:v0`), layer });
}

/** Cuts a blob's answer after `bytes` for the first `times` requests. */
function cutBody(server: FaultyRegistry, bytes: number, times: number): void {
  server.fault((request, response, count) => {
    if (!request.url?.includes('/blobs/') || count >= times) return false;
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': DATA.length - from,
      ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${DATA.length - 1}/${DATA.length}` }),
    });
    response.write(DATA.subarray(from, from + bytes), () => setTimeout(() => response.destroy(), 30));
    return true;
  });
}

describe('fetchBlob() of a layer that the registry lacks', () => {
  const elsewhere = Buffer.alloc(100_000, 'elsewhere');
  const layer = (urls: readonly string[]): Descriptor => ({
    mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
    digest: digestBytes(elsewhere),
    size: elsewhere.length,
    urls,
  });

  it('reads the first of its addresses that has it, without credentials and from where it broke', () =>
    scene(async ({ server, ref }) => {
      server.fault((request, response) => {
        if (request.headers.authorization !== undefined || request.url?.startsWith('/v2/') !== true)
          return false;
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        return true;
      });
      let cuts = 2;
      server.fault((request, response) => {
        if (request.url !== '/there') return false;
        const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
        const { length } = elsewhere;
        response.writeHead(from === 0 ? 200 : 206, {
          'content-length': length - from,
          ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${length - 1}/${length}` }),
        });
        if (cuts-- > 0) response.write(elsewhere.subarray(from, from + 1000), () => response.destroy());
        else response.end(elsewhere.subarray(from));
        return true;
      });
      const credential = { kind: 'password', username: 'u', password: 'p' } as const;
      const credentials = { find: async () => ({ credential, origin: 'a file' }) };
      const resolver = createResolver({ env: {}, retryDelayMs: 5, credentials });
      const at = `http://${server.host}`;
      const urls = ['ftp://x/y', `${at}/gone`, `${at}/there`, `${at}/never`];
      const body = await resolver.fetcher(ref).fetchBlob(layer(urls), { signal });
      expect((await buffer(body)).equals(elsewhere)).toBe(true);
      const external = server.seen.filter(({ path }) => !path.startsWith('/v2/'));
      expect(external.map(({ path }) => path)).toEqual(['/gone', '/there', '/there', '/there']);
      expect(external.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
      expect(server.seen.some(({ headers }) => headers.authorization !== undefined)).toBe(true);
    }));

  it('tells the last failure when nobody has it', () =>
    scene(async ({ server, resolver, ref }) => {
      const urls = [`http://${server.host}/a`, `http://u:secret@${server.host}/b`];
      await expect(resolver.fetcher(ref).fetchBlob(layer(urls), { signal })).rejects.toMatchObject({
        code: 'REGISTRY_NOT_FOUND',
        message: expect.stringMatching(
          /^Cannot fetch the layer "sha256:\w+" from "http:(?!.*secret).*\/b": .*404/,
        ),
      });
      await expect(resolver.fetcher(ref).fetchBlob(layer(['ftp://x/y']), { signal })).rejects.toMatchObject({
        code: 'REGISTRY_NOT_FOUND',
      });
    }));
});

describe('resolve()', () => {
  it('waits as long as Retry-After says when the registry answers 429', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response, count) => {
        if (count > 0) return false;
        response.writeHead(429, { 'retry-after': '1' }).end();
        return true;
      });
      await resolver.resolve(ref, { signal });
      const [first, second] = server.seen;
      expect(server.seen).toHaveLength(2);
      expect(Number(second?.timeMs) - Number(first?.timeMs)).toBeGreaterThanOrEqual(990);
    }));

  it.each([
    ['the type of the answer is another than it says itself', MEDIA_TYPE.index, MANIFEST, /mediaType is/],
    ['the answer is a page for people', 'text/html; charset=utf-8', Buffer.from('<html>'), /page for people/],
    ['the answer is no JSON', MEDIA_TYPE.manifest, Buffer.from('{"a"'), /not JSON/],
  ])('refuses a manifest when %s', (_, type, body, message) =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((__, response) => {
        response.setHeader('content-type', type);
        response.end(body);
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringMatching(message),
      });
    }),
  );

  it('names near tags, or those that are there, when a tag is missing', () =>
    scene(async ({ server, resolver, ref }) => {
      let tags: unknown = ['v0', 'stable', '\u001b[31m', 7];
      server.fault((request, response) => {
        if (request.url?.startsWith('/v2/app/tags/list') !== true) return false;
        response.end(typeof tags === 'string' ? tags : JSON.stringify({ name: 'app', tags }));
        return true;
      });
      const hintFor = (tag: string) =>
        resolver.resolve({ ...ref, tag }, { signal }).then(
          () => 'found',
          ({ code, hint }) => `${code}: ${hint}`,
        );
      expect(await hintFor('stabel')).toBe('REGISTRY_NOT_FOUND: did you mean "stable"?');
      expect(await hintFor('nightly')).toBe('REGISTRY_NOT_FOUND: the tags there are v0, stable');
      tags = Array.from({ length: 9 }, (__, i) => `r${i}00`);
      expect(await hintFor('nightly')).toBe(
        'REGISTRY_NOT_FOUND: among the tags there are r400, r500, r600, r700, r800',
      );
      tags = null;
      expect(await hintFor('v1')).toBe('REGISTRY_NOT_FOUND: check the name and the tag');
      tags = '<html>';
      expect(await hintFor('v1')).toBe('REGISTRY_NOT_FOUND: check the name and the tag');
    }));

  it('gives up at once when Retry-After is longer than a minute', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.writeHead(429, { 'retry-after': '3600', 'content-type': 'application/json' });
        response.end('{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}');
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_REQUEST_FAILED',
        message: expect.stringContaining('TOOMANYREQUESTS pull rate limit'),
      });
      expect(server.seen).toHaveLength(1);
    }));

  it('makes five attempts when the registry stays broken', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.writeHead(503).end();
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_REQUEST_FAILED',
      });
      expect(server.seen).toHaveLength(5);
    }));

  it('tries again when the connection is reset', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((request, _, count) => {
        if (count < 2) request.socket.resetAndDestroy();
        return count < 2;
      });
      await resolver.resolve(ref, { signal });
      expect(server.seen).toHaveLength(3);
    }));

  it('refuses a manifest when it is not what the digest header says', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.setHeader('content-type', MEDIA_TYPE.manifest);
        response.setHeader('docker-content-digest', `sha256:${'a'.repeat(64)}`);
        response.end(MANIFEST);
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringContaining(`expected "sha256:${'a'.repeat(64)}"`),
      });
    }));

  it('refuses a manifest when it is not the one asked for by digest', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.setHeader('content-type', MEDIA_TYPE.manifest);
        response.end(MANIFEST);
        return true;
      });
      const pinned = { ...ref, digest: `sha256:${'b'.repeat(64)}` as const };
      await expect(resolver.resolve(pinned, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
      });
    }));

  it('refuses a manifest when it is larger than 4 MiB, also without a length', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.setHeader('content-type', MEDIA_TYPE.manifest);
        for (let i = 0; i < 5; i++) response.write(Buffer.alloc(1024 * 1024, ' '));
        response.end('{}');
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringContaining('4194304 B'),
      });
    }));

  it('refuses schema 1 by name when the registry has nothing newer', () =>
    scene(async ({ server, resolver, ref }) => {
      const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
      server.manifest('app', 'v0', Buffer.from('{"schemaVersion":1}'), type);
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringContaining('schema 1'),
      });
    }));

  it('gives up waiting when the registry does not answer', () =>
    scene(
      async ({ server, resolver, ref }) => {
        server.fault(() => true);
        await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
          code: 'REGISTRY_UNREACHABLE',
          message: expect.stringContaining('no answer within 60 ms'),
        });
      },
      { timeoutMs: 60 },
    ));

  it('asks again when no bytes come for a while', () =>
    scene(
      async ({ server, resolver, ref }) => {
        let stalled = false;
        server.fault((_, response) => {
          if (stalled) return false;
          stalled = true;
          response.writeHead(200, { 'content-type': MEDIA_TYPE.manifest, 'content-length': MANIFEST.length });
          response.write(MANIFEST.subarray(0, 10));
          return true;
        });
        const { bytes } = await resolver.resolve(ref, { signal });
        expect(bytes.equals(MANIFEST)).toBe(true);
      },
      { timeoutMs: 100 },
    ));

  it('is unreachable, with a hint, when the name has no address', async () => {
    const resolver = createResolver({ env: {}, retryDelayMs: 1 });
    await expect(
      resolver.resolve(parseReference('registry.invalid/app:v0'), { signal }),
    ).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      hint: expect.stringMatching(/check the registry name/),
    });
  });

  it('is cancelled while it waits when its signal aborts', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault(() => true);
      const controller = new AbortController();
      const done = resolver.resolve(ref, { signal: controller.signal });
      setTimeout(() => controller.abort(), 50);
      await expect(done).rejects.toMatchObject({ code: 'CANCELLED' });
    }));

  it('masks secrets when the registry repeats them in its words', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.writeHead(400, { 'content-type': 'application/json' });
        response.end('{"errors":[{"code":"X","message":"see https://me:hunter2@host/\\u001b[31m"}]}');
        return true;
      });
      const error = await resolver.resolve(ref, { signal }).catch((e: unknown) => e as Error);
      expect(String(error)).toContain('HTTP 400');
      expect(String(error)).not.toContain('hunter2');
      expect(String(error)).not.toContain('\u001b');
    }));
});

describe('tokens', () => {
  /** The registry wants `good`; its token service counts what it gives. */
  function guard(server: FaultyRegistry, tokenOf: (count: number) => object): string[] {
    const asked: string[] = [];
    server.fault((request, response) => {
      if (request.url?.startsWith('/token')) {
        asked.push(request.url);
        response.end(JSON.stringify(tokenOf(asked.length)));
        return true;
      }
      if (request.headers.authorization === 'Bearer good') return false;
      const realm = `Bearer realm="http://${server.host}/token?x=1",service="reg, \\"a\\"",scope="repository:app:pull"`;
      response.writeHead(401, { 'www-authenticate': realm }).end();
      return true;
    });
    return asked;
  }

  it('one is fetched and used again when a registry challenges', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      const asked = guard(server, () => ({ token: 'good', expires_in: 300 }));
      await resolver.resolve(ref, { signal });
      await resolver.resolve(ref, { signal });
      expect(DATA.equals(await buffer(await resolver.fetcher(ref).fetchBlob(layer, { signal })))).toBe(true);
      expect(asked).toHaveLength(1);
      const query = new URL(asked[0] ?? '', 'http://x').searchParams;
      expect(Object.fromEntries(query)).toEqual({
        x: '1',
        service: 'reg, "a"',
        scope: 'repository:app:pull',
      });
    }));

  it('one is shared when many requests are refused at once', () =>
    scene(async ({ server, resolver, ref }) => {
      const asked = guard(server, () => ({ access_token: 'good' }));
      await Promise.all(Array.from({ length: 6 }, () => resolver.resolve(ref, { signal })));
      expect(asked).toHaveLength(1);
    }));

  it('a new one is fetched when the registry no longer takes the old one', () =>
    scene(async ({ server, resolver, ref }) => {
      const asked = guard(server, () => ({ token: 'good' }));
      await resolver.resolve(ref, { signal });
      let refused = false;
      server.seen.length = 0;
      const { seen } = server;
      server.fault((_, response) => {
        // The guard above lets the good token through; refuse it once here.
        if (refused) return false;
        refused = true;
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${server.host}/token"` }).end();
        return true;
      });
      await resolver.resolve(ref, { signal });
      expect(asked).toHaveLength(2);
      expect(seen.filter(({ path }) => path.includes('manifests'))).toHaveLength(2);
    }));

  it('the error says that there are no credentials when the token is not enough', () =>
    scene(async ({ server, resolver, ref }) => {
      guard(server, () => ({ token: 'bad' }));
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_AUTH_FAILED',
        message: expect.stringContaining('no credentials for'),
      });
    }));

  it('the error names the scheme when a registry wants a password', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_AUTH_FAILED',
        message: expect.stringContaining('(basic)'),
      });
      expect(server.seen).toHaveLength(1);
    }));

  it('are asked of no foreign plain HTTP service when a challenge names one', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((_, response) => {
        response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://192.0.2.1/token"' }).end();
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        message: expect.stringContaining('no HTTPS address'),
      });
    }));
});

describe('redirects', () => {
  it('lose the token when they lead to another host', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      await using storage = await startFaultyRegistry();
      storage.fault((_, response) => {
        response.end(DATA);
        return true;
      });
      server.fault((request, response) => {
        if (request.url?.startsWith('/token')) response.end('{"token":"good"}');
        else if (request.headers.authorization !== 'Bearer good') {
          const challenge = `Bearer realm="http://${server.host}/token"`;
          response.writeHead(401, { 'www-authenticate': challenge }).end();
        } else if (request.url?.startsWith('/v2')) response.writeHead(307, { location: '/hop' }).end();
        else response.writeHead(302, { location: `http://${storage.host}/data?sig=1` }).end();
        return true;
      });
      expect(DATA.equals(await buffer(await resolver.fetcher(ref).fetchBlob(layer, { signal })))).toBe(true);
      expect(server.seen.find(({ path }) => path === '/hop')?.headers.authorization).toBe('Bearer good');
      expect(storage.seen).toHaveLength(1);
      expect(storage.seen[0]?.headers.authorization).toBeUndefined();
    }));

  it.each([
    ['another protocol', 'ftp://127.0.0.1/x', /"ftp:\/\/127\.0\.0\.1": it is not HTTPS/],
    ['nowhere', 'http://[', /is not a URL/],
  ])('are not followed to %s', (_, location, message) =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((__, response) => {
        response.writeHead(302, { location }).end();
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringMatching(message),
      });
    }),
  );

  it('end after ten when they go in circles', () =>
    scene(async ({ server, resolver, ref }) => {
      server.fault((request, response) => {
        response.writeHead(307, { location: request.url ?? '' }).end();
        return true;
      });
      await expect(resolver.resolve(ref, { signal })).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringContaining('more than 10 redirects'),
      });
      expect(server.seen).toHaveLength(11);
    }));
});

describe('fetchBlob()', () => {
  it('goes on where it broke when the body is cut', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      cutBody(server, 100_000, 2);
      expect(DATA.equals(await buffer(await resolver.fetcher(ref).fetchBlob(layer, { signal })))).toBe(true);
      const ranges = server.seen.map(({ headers }) => headers.range);
      expect(ranges).toEqual([undefined, 'bytes=100000-', 'bytes=200000-']);
    }));

  it('skips what it has when the registry ignores Range', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      cutBody(server, 100_000, 1);
      server.fault((request, response) => {
        if (request.headers.range === undefined) return false;
        response.setHeader('content-length', DATA.length);
        response.end(DATA);
        return true;
      });
      expect(DATA.equals(await buffer(await resolver.fetcher(ref).fetchBlob(layer, { signal })))).toBe(true);
    }));

  it('fails when the registry answers with another range', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      cutBody(server, 100_000, 1);
      server.fault((_, response) => {
        response.writeHead(206, { 'content-range': `bytes 99999-299999/${DATA.length}` });
        response.end(DATA.subarray(99_999));
        return true;
      });
      const stream = await resolver.fetcher(ref).fetchBlob(layer, { signal });
      await expect(buffer(stream)).rejects.toMatchObject({ code: 'REGISTRY_RESPONSE_INVALID' });
    }));

  it('gives up when the body ends again and again without a byte', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      cutBody(server, 0, 100);
      const stream = await resolver.fetcher(ref).fetchBlob(layer, { signal });
      await expect(buffer(stream)).rejects.toMatchObject({
        code: 'REGISTRY_RESPONSE_INVALID',
        message: expect.stringContaining('ended after 0 B of 300000 B'),
      });
    }));

  it('fails when the blob is longer than its descriptor says', () =>
    scene(async ({ resolver, ref, layer }) => {
      const stream = await resolver.fetcher(ref).fetchBlob({ ...layer, size: 1000 }, { signal });
      await expect(buffer(stream)).rejects.toMatchObject({
        message: expect.stringContaining('expected 1000 B'),
      });
    }));

  it('asks again when no bytes come for a while', () =>
    scene(
      async ({ server, resolver, ref, layer }) => {
        // A busy machine may ask more than once before an answer begins.
        server.fault(({ headers }, response) => {
          if (headers.range !== undefined) return false;
          response.writeHead(200, { 'content-length': DATA.length });
          response.write(DATA.subarray(0, 1000));
          return true;
        });
        expect(DATA.equals(await buffer(await resolver.fetcher(ref).fetchBlob(layer, { signal })))).toBe(
          true,
        );
        expect(server.seen.map(({ headers }) => headers.range)).toContain('bytes=1000-');
      },
      { timeoutMs: 100 },
    ));

  it('holds four downloads at a time when more are asked for', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      const open = new Set<object>();
      let most = 0;
      server.fault((_, response) => {
        open.add(response);
        most = Math.max(most, open.size);
        response.writeHead(200, { 'content-length': DATA.length });
        setTimeout(() => {
          open.delete(response);
          response.end(DATA);
        }, 30);
        return true;
      });
      const fetcher = resolver.fetcher(ref);
      const blobs = Array.from({ length: 12 }, async () =>
        buffer(await fetcher.fetchBlob(layer, { signal })),
      );
      expect((await Promise.all(blobs)).every((blob) => blob.equals(DATA))).toBe(true);
      expect(most).toBe(4);
    }));

  it('gives its place back when a stream is dropped unread or its download is cancelled', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      const fetcher = resolver.fetcher(ref);
      for (let i = 0; i < 6; i++) (await fetcher.fetchBlob(layer, { signal })).destroy();
      server.fault((_, response, count) => {
        if (count >= 6) return false;
        response.writeHead(200, { 'content-length': DATA.length });
        response.write(DATA.subarray(0, 1000));
        return true;
      });
      for (let i = 0; i < 6; i++) {
        const controller = new AbortController();
        const stream = await fetcher.fetchBlob(layer, { signal: controller.signal });
        setTimeout(() => controller.abort(), 10);
        await expect(buffer(stream)).rejects.toMatchObject({ code: 'CANCELLED' });
      }
      expect(DATA.equals(await buffer(await fetcher.fetchBlob(layer, { signal })))).toBe(true);
    }));

  it('survives when the connection breaks before anybody reads', () =>
    scene(async ({ server, resolver, ref, layer }) => {
      cutBody(server, 1000, 1);
      const stream = await resolver.fetcher(ref).fetchBlob(layer, { signal });
      await sleep(100);
      expect(DATA.equals(await buffer(stream))).toBe(true);
    }));
});

describe('proxies', () => {
  it('carry requests to other hosts and none to loopback when HTTP_PROXY is set', () =>
    scene(async ({ server }) => {
      const seen: string[] = [];
      const proxy = createServer((request, response) => {
        seen.push(request.url ?? '');
        response.setHeader('content-type', MEDIA_TYPE.manifest);
        response.end(MANIFEST);
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const resolver = createResolver({
        env: { HTTP_PROXY: url },
        plainHttp: ['registry.test'],
        retryDelayMs: 5,
      });
      await resolver.resolve(parseReference('registry.test/app:v0'), { signal });
      await resolver.resolve(parseReference(`${server.host}/app:v0`), { signal });
      expect(seen).toEqual(['http://registry.test/v2/app/manifests/v0']);
      expect(server.seen).toHaveLength(1);
      proxy.closeAllConnections();
      proxy.close();
    }));
});
