import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createGhaExporter,
  createGhaImporter,
  createGhaReader,
} from '../../../../src/remotecache/gha/gha-cache.ts';
import { type GhaServer, makeToken, startGhaServer } from '../../../support/gha-server.ts';
import { firstBlob, makeCache, readWhole, someBytes } from '../../../support/shared-cache.ts';

const signal = new AbortController().signal;
const PART = 64 << 10;
let server: GhaServer;

beforeEach(async () => {
  server = await startGhaServer();
});
afterEach(() => server[Symbol.asyncDispose]());

function deps(env: Readonly<Record<string, string>>) {
  return { env, retryDelayMs: 1, patienceMs: 0, partBytes: PART };
}

describe.each([1, 2] as const)('createGhaExporter() with protocol %i', (protocol) => {
  it('writes blobs and an index that the importer and the reader give back', async () => {
    const cache = makeCache([someBytes(100, 1), someBytes(3 * PART + 5, 2), Buffer.alloc(0)]);
    const env = server.env(protocol);
    const exporter = createGhaExporter({ scope: 'app' }, deps(env));

    await exporter.write(cache.config, cache.writing());
    const loaded = await createGhaImporter({ scope: 'app' }, deps(env)).load(signal);

    expect(loaded).toEqual([{ config: cache.config, origin: { type: 'gha' } }]);
    const read = createGhaReader({ ...deps(env), given: [] });
    for (const { descriptor } of cache.config.layers) {
      expect(await readWhole(read(descriptor, signal))).toEqual(cache.blobs.get(descriptor.digest));
    }
    expect(server.entries.every(({ finished }) => finished)).toBe(true);
    expect(exporter.name).toBe('GitHub cache "app"');
  });

  it('writes the next index and no blob when the blobs are there', async () => {
    const cache = makeCache([someBytes(100, 1)]);
    const exporter = createGhaExporter({}, deps(server.env(protocol)));
    await exporter.write(cache.config, cache.writing());
    cache.opened.length = 0;
    const next = { ...cache.config, records: [] };

    await exporter.write(next, cache.writing());

    expect(cache.opened).toEqual([]);
    expect(server.entries.map(({ key }) => key.split('#')[1])).toEqual(['1', '1', '2']);
    const loaded = await createGhaImporter({}, deps(server.env(protocol))).load(signal);
    expect(loaded.map(({ config }) => config)).toEqual([next]);
  });

  it('reads the caches of its own ref and of others, and writes only its own', async () => {
    const [main, branch] = [makeCache([someBytes(100, 1)]), makeCache([someBytes(100, 2)])];
    const onBranch = server.env(protocol, 'refs/heads/topic', ['refs/heads/main']);
    await createGhaExporter({}, deps(server.env(protocol))).write(main.config, main.writing());
    await createGhaExporter({}, deps(onBranch)).write(branch.config, branch.writing());

    const fromBranch = await createGhaImporter({}, deps(onBranch)).load(signal);
    const fromMain = await createGhaImporter({}, deps(server.env(protocol))).load(signal);

    expect(fromBranch.map(({ config }) => config)).toEqual([branch.config, main.config]);
    expect(fromMain.map(({ config }) => config)).toEqual([main.config]);
  });

  it('passes over numbers that dead jobs claimed', async () => {
    const cache = makeCache([someBytes(100, 1)]);
    const exporter = createGhaExporter({}, deps(server.env(protocol)));
    await exporter.write(cache.config, cache.writing());
    const index = server.entries.at(-1)?.key.split('#')[0] ?? '';
    server.claim(`${index}#2`);
    server.claim(`${index}#3`);

    await exporter.write(cache.config, cache.writing());

    expect(server.entries.at(-1)).toMatchObject({ key: `${index}#4`, finished: true });
  });

  it('waits for somebody else who writes the same blob', async () => {
    const cache = makeCache([someBytes(100, 1)]);
    const { digest } = firstBlob(cache);
    const key = `ocibuild-blob-1-${digest}#1`;
    server.claim(key);
    const [claimed] = server.entries;
    // The version is known once somebody wrote with it.
    await createGhaExporter({ scope: 'other' }, deps(server.env(protocol))).write(
      makeCache([]).config,
      makeCache([]).writing(),
    );
    const version = server.entries.find((entry) => entry.version !== 'any')?.version;
    // Done at the moment in which ours is told that the key is taken.
    let taken = 0;
    server.fault = ({ method, body }) => {
      if (method !== 'POST' || !body.includes(`"${key}"`)) return false;
      taken++;
      Object.assign(claimed ?? {}, { content: cache.blobs.get(digest), finished: true, version });
      return false;
    };

    await createGhaExporter({}, { ...deps(server.env(protocol)), patienceMs: 1 }).write(
      cache.config,
      cache.writing(),
    );

    expect(cache.opened).toEqual([]);
    expect(taken).toBe(1);
  });

  it('waits as long as the service says when there are too many requests', async () => {
    const cache = makeCache([someBytes(100, 1)]);
    let busy = 2;
    server.fault = (_, response) => {
      if (busy-- <= 0) return false;
      response.writeHead(429, { 'retry-after': '0' }).end('{}');
      return true;
    };
    await createGhaExporter({}, deps(server.env(protocol))).write(cache.config, cache.writing());
    expect(server.entries.filter(({ finished }) => finished)).toHaveLength(2);
  });

  it('fails when an upload fails for good, and leaves no index', async () => {
    const cache = makeCache([someBytes(4 * PART, 1)]);
    server.fault = ({ method, path }, response) => {
      if (method !== 'PATCH' && !path.includes('comp=block&')) return false;
      response.writeHead(400).end(JSON.stringify({ code: 'resource_exhausted', msg: 'quota is used up' }));
      return true;
    };
    const written = createGhaExporter({}, deps(server.env(protocol))).write(cache.config, cache.writing());
    await expect(written).rejects.toMatchObject({
      code: 'CACHE_REQUEST_FAILED',
      message: expect.stringContaining('resource_exhausted: quota is used up'),
    });
    expect(server.entries.map(({ finished }) => finished)).toEqual([false]);
  });

  it('asks for a new address when the one of a download has ended', async () => {
    const cache = makeCache([someBytes(300_000, 1)]);
    const env = server.env(protocol);
    await createGhaExporter({}, { env }).write(cache.config, cache.writing());
    const blob = firstBlob(cache);
    const whole = cache.blobs.get(blob.digest) as Buffer;
    let cuts = 1;
    server.fault = ({ method, path }, response) => {
      if (method !== 'GET' || !path.startsWith('/storage/') || cuts-- <= 0) return false;
      response.writeHead(200, { 'content-length': whole.length });
      response.write(whole.subarray(0, 100_000), () => response.destroy());
      server.endAddresses();
      return true;
    };

    const bytes = await readWhole(createGhaReader({ ...deps(env), given: [] })(blob, signal));

    expect(bytes.equals(whole)).toBe(true);
    const reads = server.seen.filter(({ method, path }) => method === 'GET' && path.startsWith('/storage/'));
    expect(reads.map(({ headers }) => headers.range)).toEqual([
      undefined,
      expect.any(String),
      expect.any(String),
    ]);
  });

  it('hides the token when it is refused', async () => {
    const env = { ...server.env(protocol), ACTIONS_RUNTIME_TOKEN: 'no-such-token' };
    const loaded = createGhaImporter({}, deps(env)).load(signal);
    await expect(loaded).rejects.toMatchObject({
      code: 'CACHE_AUTH_FAILED',
      message: expect.stringContaining('bad token (credentials of ACTIONS_RUNTIME_TOKEN)'),
    });
  });

  it('gives up when it takes longer than timeout', async () => {
    server.fault = () => true;
    const loaded = createGhaImporter({ timeout: '20ms' }, deps(server.env(protocol))).load(signal);
    await expect(loaded).rejects.toMatchObject({
      code: 'CACHE_UNREACHABLE',
      message: 'Cannot read GitHub cache "ocibuild": it takes longer than 0.02 s',
    });
  });
});

describe('createGhaImporter()', () => {
  it.each([
    [{}, 'ACTIONS_RESULTS_URL'],
    [{ ACTIONS_RESULTS_URL: 'https://results.example/' }, 'ACTIONS_RUNTIME_TOKEN'],
    [{ ACTIONS_CACHE_URL: 'https://cache.example/' }, 'ACTIONS_RUNTIME_TOKEN'],
    [
      { ACTIONS_CACHE_SERVICE_V2: 'true', ACTIONS_CACHE_URL: 'https://cache.example/' },
      'ACTIONS_RESULTS_URL',
    ],
  ])('names the variable that is missing when it has %j', async (env, variable) => {
    const importer = createGhaImporter({}, deps(env));
    await expect(importer.load(signal)).rejects.toMatchObject({
      code: 'CACHE_AUTH_FAILED',
      message: `Cannot use the GitHub cache: ${variable} is not set`,
      hint: expect.stringContaining('core.exportVariable in a step of actions/github-script'),
    });
  });

  it('says when the token ended', async () => {
    const token = makeToken('refs/heads/main', [], Date.UTC(2026, 0, 1));
    const importer = createGhaImporter({ token, url: 'https://cache.example/' }, deps({}));
    await expect(importer.load(signal)).rejects.toThrow('ended at 2026-01-01T00:00:00.000Z');
  });

  it('says so when the service speaks another protocol', async () => {
    const { ACTIONS_RUNTIME_TOKEN: token = '' } = server.env(2);
    const importer = createGhaImporter({ token, urlV2: `${server.url}/elsewhere` }, deps({}));
    await expect(importer.load(signal)).rejects.toMatchObject({
      code: 'CACHE_RESPONSE_INVALID',
      message: expect.stringContaining('does not speak the second protocol'),
    });
  });

  it('refuses options that make no sense when it is made', () => {
    expect(() => createGhaImporter({ scope: 'a,b' }, deps({}))).toThrow('expected a name without commas');
    expect(() => createGhaImporter({ timeout: '0' }, deps({}))).toThrow('expected a time such as 10m');
    expect(() => createGhaImporter({ version: 3 }, deps({}))).toThrow('expected 1 or 2');
    expect(() => createGhaImporter({ urlV2: 'nowhere' }, deps({}))).toThrow('expected a URL');
  });
});
