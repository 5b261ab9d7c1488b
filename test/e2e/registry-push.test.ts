import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeDocument } from '../../src/image/manifest.ts';
import { parseReference } from '../../src/image/reference.ts';
import { type Descriptor, type Digest, MEDIA_TYPE } from '../../src/image/types.ts';
import { createResolver } from '../../src/registry/resolver.ts';
import { type Listening, listenOnLoopback, passOn } from '../support/loopback.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { PASSWORD, startTokenServer, type TokenServer, USER } from '../support/token-server.ts';

const exec = promisify(execFile);
const signal = new AbortController().signal;
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-push-'));
const SIZE = 3_000_000;
let registry: TestRegistry;

beforeAll(async () => {
  registry = await startRegistry();
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface TestBlob {
  readonly descriptor: Descriptor;
  readonly open: (offset: number, length: number) => ReturnType<typeof createReadStream>;
}

/** Bytes that no registry has yet, in a file. */
function newBlob(size = SIZE): TestBlob {
  const data = randomBytes(size);
  const digest: Digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
  const path = join(dir, digest.slice(7));
  writeFileSync(path, data);
  return {
    descriptor: { mediaType: MEDIA_TYPE.layerTar, digest, size },
    open: (offset, length) => createReadStream(path, { start: offset, end: offset + length - 1 }),
  };
}

type Meddle = (request: IncomingMessage, response: ServerResponse, count: number) => boolean;

interface Proxy extends Listening {
  readonly seen: string[];
}

/** Stands before the registry; `meddle` answers a request itself, or lets it through. */
async function startProxy(meddle: Meddle = () => false): Promise<Proxy> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '' } = request;
    seen.push(`${method} ${url.replace(/sha256:\w+/g, 'DIGEST').replace(/uploads\/[^?]+.*/, 'uploads/ID')}`);
    if (meddle(request, response, seen.length)) return;
    passOn(registry.host, { request, response });
  });
  return { ...(await listenOnLoopback(server)), seen };
}

function pusherOf(host: string, env: Readonly<Record<string, string>> = {}) {
  const resolver = createResolver({ env, retryDelayMs: 5 });
  return { resolver, pusher: resolver.pusher(parseReference(`${host}/team/app`)) };
}

describe('pushBlob()', () => {
  it('sends a blob once, and nothing when the registry has it', async () => {
    await using proxy = await startProxy();
    const { pusher } = pusherOf(proxy.host);
    const { descriptor, open } = newBlob();
    const progress: number[] = [];
    const onProgress = (bytes: number): void => void progress.push(bytes);
    expect(await pusher.pushBlob(descriptor, open, { signal, onProgress })).toBe('uploaded');
    expect(progress.at(-1)).toBe(SIZE);
    expect(await pusher.pushBlob(descriptor, open, { signal })).toBe('exists');
    expect(proxy.seen).toEqual([
      'HEAD /v2/team/app/blobs/DIGEST',
      'POST /v2/team/app/blobs/uploads/',
      'PUT /v2/team/app/blobs/uploads/ID',
      'HEAD /v2/team/app/blobs/DIGEST',
    ]);
  });

  it('mounts a blob that another repository has, and sends it when that one has not', async () => {
    await using proxy = await startProxy();
    const { resolver, pusher } = pusherOf(proxy.host);
    const { descriptor, open } = newBlob();
    await resolver.pusher(parseReference(`${proxy.host}/base/image`)).pushBlob(descriptor, open, { signal });
    expect(await pusher.pushBlob(descriptor, open, { signal, mountFrom: 'base/image' })).toBe('mounted');
    const other = newBlob(10);
    const options = { signal, mountFrom: 'base/image' };
    expect(await pusher.pushBlob(other.descriptor, other.open, options)).toBe('uploaded');
  });

  it('goes on from what arrived when the connection breaks', async () => {
    let broken = 0;
    await using proxy = await startProxy((request, response) => {
      if (request.method !== 'PUT' || broken++ > 0) return false;
      request.once('data', () => setTimeout(() => response.destroy(), 20));
      return true;
    });
    const { pusher } = pusherOf(proxy.host);
    const { descriptor, open } = newBlob();
    expect(await pusher.pushBlob(descriptor, open, { signal })).toBe('uploaded');
    expect(proxy.seen.filter((line) => /^(GET|POST)/.test(line)).length).toBeGreaterThan(1);
  });

  it('waits and tries again when the registry is busy', async () => {
    let busy = 0;
    await using proxy = await startProxy((request, response) => {
      if (request.method !== 'PUT' || busy++ > 1) return false;
      request.resume();
      response.writeHead(busy === 1 ? 429 : 503, { 'retry-after': '0' }).end();
      return true;
    });
    const { descriptor, open } = newBlob(100_000);
    expect(await pusherOf(proxy.host).pusher.pushBlob(descriptor, open, { signal })).toBe('uploaded');
    expect(busy).toBeGreaterThan(2);
  });

  it('sends small chunks when large bodies are refused', async () => {
    const size = 9 * 1024 * 1024;
    await using proxy = await startProxy((request, response) => {
      if (Number(request.headers['content-length'] ?? 0) <= 5_000_000) return false;
      request.resume();
      response.writeHead(413).end();
      return true;
    });
    const { descriptor, open } = newBlob(size);
    expect(await pusherOf(proxy.host).pusher.pushBlob(descriptor, open, { signal })).toBe('uploaded');
    expect(proxy.seen.filter((line) => line.startsWith('PATCH'))).toHaveLength(3);
  });

  it.each([405, 501])('sends the whole again when a part of it is refused with %i', async (status) => {
    const asked: string[] = [];
    const { descriptor, open } = newBlob(1000);
    await using registryOfNone = await listenOnLoopback(
      createServer((request, response) => {
        asked.push(`${request.method} ${request.headers['content-range'] ?? ''}`.trim());
        request.resume();
        if (request.method === 'HEAD') response.writeHead(404).end();
        else if (request.method === 'POST') response.writeHead(202, { location: '/v2/upload/1' }).end();
        // It has kept a part of what broke, and takes no other.
        else if (request.method === 'GET') response.writeHead(204, { range: '0-99' }).end();
        else if (request.method === 'PATCH') response.writeHead(status).end();
        else if (asked.filter((line) => line.startsWith('PUT')).length === 1)
          request.socket.resetAndDestroy();
        else response.writeHead(201).end();
      }),
    );
    const { pusher } = pusherOf(registryOfNone.host);
    expect(await pusher.pushBlob(descriptor, open, { signal })).toBe('uploaded');
    expect(asked).toEqual(['HEAD', 'POST', 'PUT', 'GET', 'PATCH 100-999', 'POST', 'PUT']);
  });

  it('shows no password to the host that an upload is sent to', async () => {
    const shown: (string | undefined)[] = [];
    await using storage = await listenOnLoopback(
      createServer((request, response) => {
        shown.push(request.headers.authorization);
        request.resume().once('end', () => response.writeHead(201).end());
      }),
    );
    await using front = await listenOnLoopback(
      createServer((request, response) => {
        const { authorization } = request.headers;
        if (authorization === undefined) {
          response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        } else if (request.method === 'HEAD') response.writeHead(404).end();
        else response.writeHead(202, { location: `http://${storage.host}/put?sig=1` }).end();
      }),
    );
    const credential = { kind: 'password', username: USER, password: PASSWORD } as const;
    const credentials = { find: async () => ({ credential, origin: 'a test' }) };
    const pusher = createResolver({ env: {}, credentials }).pusher(parseReference(`${front.host}/app`));
    const { descriptor, open } = newBlob(1000);
    expect(await pusher.pushBlob(descriptor, open, { signal })).toBe('uploaded');
    expect(shown).toEqual([undefined]);
  });

  it('begins again when the registry has lost the upload', async () => {
    let lost = 0;
    await using proxy = await startProxy((request, response) => {
      if (request.method !== 'PUT' || lost++ > 0) return false;
      request.resume();
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end('{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}');
      return true;
    });
    const { descriptor, open } = newBlob(1000);
    expect(await pusherOf(proxy.host).pusher.pushBlob(descriptor, open, { signal })).toBe('uploaded');
    expect(lost).toBe(2);
  });

  it('fails after five tries in vain', async () => {
    await using proxy = await startProxy((request, response) => {
      if (request.method !== 'PUT') return false;
      request.resume();
      response.writeHead(500).end();
      return true;
    });
    const { descriptor, open } = newBlob(10);
    await expect(pusherOf(proxy.host).pusher.pushBlob(descriptor, open, { signal })).rejects.toMatchObject({
      code: 'REGISTRY_REQUEST_FAILED',
      message: expect.stringContaining('push "'),
    });
  });

  it('fails when the registry stored something else', async () => {
    await using proxy = await startProxy((request, response) => {
      if (request.method !== 'PUT') return false;
      request.resume().once('end', () => {
        response.writeHead(201, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }).end();
      });
      return true;
    });
    const { descriptor, open } = newBlob(10);
    await expect(pusherOf(proxy.host).pusher.pushBlob(descriptor, open, { signal })).rejects.toMatchObject({
      code: 'REGISTRY_RESPONSE_INVALID',
    });
  });

  it('gives up when it is sent in circles', async () => {
    await using proxy = await startProxy((request, response) => {
      if (request.method !== 'PUT') return false;
      request.resume();
      response.writeHead(307, { location: request.url }).end();
      return true;
    });
    const { descriptor, open } = newBlob(10);
    await expect(pusherOf(proxy.host).pusher.pushBlob(descriptor, open, { signal })).rejects.toMatchObject({
      code: 'REGISTRY_RESPONSE_INVALID',
      message: expect.stringContaining('gets no further'),
    });
  });
});

describe('pushManifest()', () => {
  it('makes an image that skopeo reads', async () => {
    const { pusher } = pusherOf(registry.host);
    const layer = newBlob(1024);
    const config = Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: [layer.descriptor.digest] },
      }),
    );
    const configDigest: Digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
    const path = join(dir, 'config');
    writeFileSync(path, config);
    const about = { mediaType: MEDIA_TYPE.config, digest: configDigest, size: config.length };
    await pusher.pushBlob(layer.descriptor, layer.open, { signal });
    await pusher.pushBlob(about, () => createReadStream(path), { signal });
    const bytes = encodeDocument({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.manifest,
      config: about,
      layers: [layer.descriptor],
    });
    const digest: Digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const descriptor = { mediaType: MEDIA_TYPE.manifest, digest, size: bytes.length };
    await pusher.pushManifest(descriptor, bytes, { signal, tag: 'v1' });
    const { stdout } = await exec('skopeo', [
      ...['inspect', '--tls-verify=false', '--format', '{{.Digest}}'],
      `docker://${registry.host}/team/app:v1`,
    ]);
    expect(stdout.trim()).toBe(digest);
  });
});

describe('pushing with a token service', () => {
  let tokens: TokenServer;
  let guarded: TestRegistry;
  beforeAll(async () => {
    tokens = await startTokenServer();
    guarded = await startRegistry({ auth: tokens.registryAuth });
  });
  afterAll(async () => {
    await guarded?.[Symbol.asyncDispose]();
    await tokens?.[Symbol.asyncDispose]();
  });

  it('asks for both actions, and for the right to read where it mounts from', async () => {
    const home = mkdtempSync(join(dir, 'home-'));
    const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
    const file = join(home, 'auth.json');
    writeFileSync(file, JSON.stringify({ auths: { [guarded.host]: { auth } } }));
    const { resolver, pusher } = pusherOf(guarded.host, { REGISTRY_AUTH_FILE: file });
    const { descriptor, open } = newBlob(1000);
    const base = resolver.pusher(parseReference(`${guarded.host}/base/image`));
    await base.pushBlob(descriptor, open, { signal });
    tokens.asked.length = 0;
    expect(await pusher.pushBlob(descriptor, open, { signal, mountFrom: 'base/image' })).toBe('mounted');
    expect(tokens.asked).toEqual([
      'POST password repository:team/app:pull,push',
      'POST password repository:team/app:pull,push repository:base/image:pull',
    ]);
  });

  it('sends what it may not mount, when the service gives no token for both', async () => {
    const home = mkdtempSync(join(dir, 'home-'));
    const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
    const file = join(home, 'auth.json');
    writeFileSync(file, JSON.stringify({ auths: { [guarded.host]: { auth } } }));
    const { pusher } = pusherOf(guarded.host, { REGISTRY_AUTH_FILE: file });
    const { descriptor, open } = newBlob(1000);
    tokens.refuseScope = /secret\/base/;
    const pushed = await pusher.pushBlob(descriptor, open, { signal, mountFrom: 'secret/base' });
    tokens.refuseScope = undefined;
    expect(pushed).toBe('uploaded');
  });
});
