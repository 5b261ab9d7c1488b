import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { openEngine } from '../../src/build/engine.ts';
import { createDownloadRows } from '../../src/cache/download-rows.ts';
import { type BuildOptions, build, type ProgressEvent } from '../../src/index.ts';
import type { HttpSource } from '../../src/llb/ops.ts';
import { createDownloads } from '../../src/source/http.ts';
import type { Download } from '../../src/source/types.ts';
import { type Handler, startWebServer, type WebServer } from '../support/web-server.ts';

const PLAIN = 'plain\n';
interface Scene {
  readonly dir: string;
  readonly server: WebServer;
  readonly out: string;
  /** Builds the text to the directory `out`. */
  run(dockerfileText: string | undefined, more?: Partial<BuildOptions>): Promise<unknown>;
  /** One download into the same store. */
  fetch(source: Partial<HttpSource>, secrets?: Readonly<Record<string, string>>): Promise<Download>;
}

async function scene(body: (scene: Scene) => Promise<void>, handle?: Handler): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-http-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'plain.txt'), PLAIN);
  await using server = await startWebServer(dir, handle);
  const [root, out] = [join(dir, 'store'), join(dir, 'out')];
  await body({
    ...{ dir, server, out },
    run: (dockerfileText, more = {}) =>
      build({
        ...{ root, context: dir, env: { PATH: process.env.PATH } },
        ...(dockerfileText === undefined ? {} : { dockerfileText }),
        outputs: [{ type: 'local', dest: out }],
        ...more,
      }).result,
    async fetch(source, secrets = {}) {
      const signal = AbortSignal.timeout(100_000);
      await using engine = await openEngine({ root, env: {}, signal });
      const downloads = createDownloads({
        content: engine.content,
        rows: () => createDownloadRows(engine.db),
        secret: (id) => (secrets[id] === undefined ? undefined : Buffer.from(secrets[id])),
        env: {},
        retryDelayMs: 2,
        timeoutMs: 2000,
      });
      return await downloads.fetch(
        { type: 'http', url: `${server.url}/plain.txt`, filename: 'f', mode: 0o600, ...source },
        signal,
      );
    },
  });
}

function asked(server: WebServer): string[] {
  return server.seen.splice(0).map(({ method, path, status }) => `${method} ${path} ${status}`);
}

test('build() asks once for an unchanged file and fetches a changed one when it adds a URL', () =>
  scene(async ({ server, run, dir, out }) => {
    const text = `FROM scratch\nADD ${server.url}/plain.txt /a/\nADD ${server.url}/plain.txt /b/\n`;
    const fetched: string[] = [];
    const onEvent = (event: ProgressEvent): void => {
      if (event.kind === 'vertex' && event.name.startsWith('fetching')) fetched.push(event.name);
    };
    await run(text, { onEvent });
    expect(asked(server)).toEqual(['GET /plain.txt 200']);
    await run(text, { onEvent });
    expect(asked(server)).toEqual(['GET /plain.txt 304']);
    expect(fetched).toEqual([`fetching ${server.url}/plain.txt`]);
    writeFileSync(join(dir, 'plain.txt'), 'changed\n');
    await run(text);
    expect(asked(server)).toEqual(['GET /plain.txt 200']);
    expect(readFileSync(join(out, 'b/plain.txt'), 'utf8')).toBe('changed\n');
  }));

test('build() gives the file the time of Last-Modified and mode 0600 when it adds a URL', () =>
  scene(
    async ({ server, run, out }) => {
      await run(`FROM scratch\nADD ${server.url}/any /\n`);
      const { mtimeMs, mode } = statSync(join(out, 'any'));
      expect([mtimeMs, mode & 0o7777]).toEqual([1_500_000_000_000, 0o600]);
    },
    (_, response) => {
      response.setHeader('last-modified', new Date(1_500_000_000_000).toUTCString()).end('x');
      return true;
    },
  ));

test.each(['sha256', 'sha384', 'sha512'] as const)(
  'fetch() asks nobody a second time when the checksum is %s',
  (name) =>
    scene(async ({ server, fetch }) => {
      const checksum = `${name}:${createHash(name).update(PLAIN).digest('hex')}`;
      await fetch({ checksum });
      expect(asked(server)).toEqual(['GET /plain.txt 200']);
      expect(readFileSync((await fetch({ checksum })).path, 'utf8')).toBe(PLAIN);
      expect(asked(server)).toEqual([]);
    }),
);

test.each(['sha256', 'sha512'])('fetch() keeps nothing when the %s checksum is another', (name) =>
  scene(async ({ server, fetch, dir }) => {
    const checksum = `${name}:${'0'.repeat(name === 'sha256' ? 64 : 128)}`;
    await expect(fetch({ checksum })).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      details: { expected: checksum },
    });
    expect(asked(server)).toEqual(['GET /plain.txt 200']);
    expect([...readdirSync(join(dir, 'store/blobs/sha256')), ...readdirSync(join(dir, 'store/tmp'))]).toEqual(
      [],
    );
  }),
);

test('fetch() sends the token to its host only when a redirect leads to another', () =>
  scene(async (other) => {
    await scene(
      async ({ server, fetch }) => {
        const host = new URL(server.url).host;
        await fetch({}, { [`HTTP_AUTH_TOKEN_${host}`]: 'tok-en\n' });
        expect(server.seen.map(({ authorization }) => authorization)).toEqual(['Bearer tok-en']);
        expect(other.server.seen.map(({ authorization }) => authorization)).toEqual([undefined]);
      },
      (_, response) => {
        response.writeHead(302, { location: `${other.server.url}/plain.txt` }).end();
        return true;
      },
    );
  }));

test('build() takes the whole header of a secret when a server asks for credentials', () =>
  scene(
    async ({ server, run, out }) => {
      const text = `FROM scratch\nADD ${server.url}/plain.txt /\n`;
      const denied = { code: 'DOWNLOAD_AUTH_FAILED', category: 'network' };
      await expect(run(text)).rejects.toMatchObject({
        ...denied,
        hint: expect.stringContaining('HTTP_AUTH_TOKEN_'),
      });
      const id = `HTTP_AUTH_HEADER_${new URL(server.url).hostname}`;
      await run(text, { secrets: { [id]: { type: 'value', value: 'Basic abc' } } });
      expect(readFileSync(join(out, 'plain.txt'), 'utf8')).toBe(PLAIN);
    },
    (request, response) => {
      if (request.headers.authorization === 'Basic abc') return false;
      response.writeHead(401).end();
      return true;
    },
  ));

/** Cuts the first answer in the middle; ranges are answered while the version that they ask for is the current one. */
function cutting(versions: readonly Buffer[]): {
  readonly handle: Handler;
  readonly ranges: (string | undefined)[];
} {
  const ranges: (string | undefined)[] = [];
  const handle: Handler = ({ headers }, response) => {
    const at = Math.min(ranges.length, versions.length - 1);
    const body = versions[at] ?? Buffer.of();
    const etag = `"${createHash('sha1').update(body).digest('hex')}"`;
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    ranges.push(headers.range);
    const rest = headers['if-range'] === etag ? body.subarray(from) : body;
    response.writeHead(rest === body ? 200 : 206, {
      ...{ etag, 'content-length': rest.length },
      ...(rest === body ? {} : { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` }),
    });
    if (ranges.length > 1) response.end(rest);
    else response.write(rest.subarray(0, 300_000), () => setTimeout(() => response.destroy(), 20));
    return true;
  };
  return { handle, ranges };
}

test('fetch() goes on where a body broke off when the server has the same content still', () => {
  const data = randomBytes(1_000_000);
  const { handle, ranges } = cutting([data]);
  return scene(async ({ fetch, server }) => {
    const { path, digest } = await fetch({});
    expect(readFileSync(path).equals(data)).toBe(true);
    expect(digest).toBe(`sha256:${createHash('sha256').update(data).digest('hex')}`);
    expect(ranges).toEqual([undefined, 'bytes=300000-']);
    expect(asked(server)).toEqual(['GET /plain.txt 200', 'GET /plain.txt 206']);
  }, handle);
});

test('fetch() begins anew when the content changed after a body broke off', () => {
  const [old, fresh] = [randomBytes(1_000_000), randomBytes(1_000_000)];
  const { handle, ranges } = cutting([old, fresh]);
  return scene(async ({ fetch }) => {
    expect(readFileSync((await fetch({})).path).equals(fresh)).toBe(true);
    expect(ranges).toEqual([undefined, 'bytes=300000-', undefined]);
  }, handle);
});

test('fetch() tries again when a body breaks off, and gives up with DOWNLOAD_FAILED', async () => {
  let broken = 2;
  await scene(
    async ({ server, fetch }) => {
      expect(readFileSync((await fetch({})).path, 'utf8')).toBe(PLAIN);
      expect(server.seen).toHaveLength(3);
      broken = 100;
      server.seen.length = 0;
      await expect(fetch({ url: `${server.url}/plain.txt?other` })).rejects.toMatchObject({
        code: 'DOWNLOAD_FAILED',
        message: expect.stringContaining('the connection broke'),
      });
      // The server notices the end of the last one later than we do.
      await expect.poll(() => server.seen.length).toBe(5);
    },
    (_, response) => {
      if (broken-- <= 0) return false;
      response.writeHead(200, { 'content-length': 100 });
      response.write('part', () => setTimeout(() => response.destroy(), 20));
      return true;
    },
  );
});

test.each([
  ['/missing', 'DOWNLOAD_FAILED', 'the server has no such file (HTTP 404)'],
  ['/loop', 'DOWNLOAD_FAILED', 'more than 10 redirects'],
  ['/ftp', 'DOWNLOAD_FAILED', 'it is not HTTPS'],
])('fetch() fails with a reason when the server answers for %s', (path, code, message) =>
  scene(
    async ({ server, fetch }) => {
      await expect(fetch({ url: server.url + path })).rejects.toMatchObject({
        ...{ code, category: 'network' },
        message: expect.stringContaining(message),
      });
    },
    (request, response) => {
      const location =
        request.url === '/loop' ? '/loop' : request.url === '/ftp' ? 'ftp://h.test/' : undefined;
      if (location !== undefined) response.writeHead(302, { location }).end();
      return location !== undefined;
    },
  ),
);

test('fetch() fails with DOWNLOAD_UNREACHABLE when nobody listens, and shows no password', () =>
  scene(async ({ fetch }) => {
    const error = await fetch({ url: 'http://user:pass-word@127.0.0.1:9/x' }).catch(
      (cause: unknown) => cause,
    );
    expect(error).toMatchObject({ code: 'DOWNLOAD_UNREACHABLE', category: 'network' });
    expect(JSON.stringify(error)).not.toContain('pass-word');
  }));

test('build() stops and leaves nothing when it is cancelled during a download', () =>
  scene(
    async ({ server, run, dir }) => {
      const cancel = new AbortController();
      const running = run(`FROM scratch\nADD ${server.url}/slow /\n`, { signal: cancel.signal });
      setTimeout(() => cancel.abort(), 300);
      await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(readdirSync(join(dir, 'store/tmp'))).toEqual([]);
    },
    (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('slow');
      return true;
    },
  ));

test('build() reads a Dockerfile from stdin, and the same build asks the server again', () =>
  scene(async ({ server, run, out }) => {
    const stdin = () => Readable.from([Buffer.from(`FROM scratch\nADD ${server.url}/plain.txt /\n`)]);
    for (const status of [200, 304]) {
      await run(undefined, { context: '-', stdin: stdin() });
      expect(asked(server)).toEqual([`GET /plain.txt ${status}`]);
    }
    expect(readFileSync(join(out, 'plain.txt'), 'utf8')).toBe(PLAIN);
  }));

test('build() ends at once and leaves nothing when it is cancelled while stdin says nothing', () =>
  scene(async ({ dir, run }) => {
    const cancel = new AbortController();
    const stdin = (async function* () {
      yield Buffer.from('FROM scratch\n');
      await new Promise(() => {});
    })();
    const running = run(undefined, { context: '-', stdin, signal: cancel.signal });
    setTimeout(() => cancel.abort(), 300);
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(readdirSync(join(dir, 'store/tmp'))).toEqual([]);
  }));

test('a download that was damaged in the store is fetched again before anything is made of it', () =>
  scene(async ({ dir, server, out, run }) => {
    const text = `FROM scratch\nADD ${server.url}/plain.txt /a\n`;
    await run(text);
    const blobs = join(dir, 'store/blobs/sha256');
    const name = createHash('sha256').update(PLAIN).digest('hex');
    writeFileSync(join(blobs, name), 'PLAIN\n');
    await run(text, { noCache: true });
    expect(readFileSync(join(out, 'a'), 'utf8')).toBe(PLAIN);
    expect(readFileSync(join(blobs, name), 'utf8')).toBe(PLAIN);
  }));
