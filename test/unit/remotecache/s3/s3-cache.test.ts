import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createS3Exporter,
  createS3Importer,
  createS3Reader,
  type S3Origin,
} from '../../../../src/remotecache/s3/s3-cache.ts';
import type { S3CacheOptions } from '../../../../src/remotecache/types.ts';
import { BUCKET, refuse, type S3Server, startS3Server } from '../../../support/s3-server.ts';
import { firstBlob, makeCache, readWhole, someBytes } from '../../../support/shared-cache.ts';

const signal = new AbortController().signal;
const PART = 64 << 10;
let dir: string;
let server: S3Server;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ocibuild-s3-'));
  server = await startS3Server(dir);
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

function options(more: S3CacheOptions = {}): S3CacheOptions {
  return { bucket: BUCKET, endpointUrl: server.url, usePathStyle: true, ...more };
}

function deps(env: Readonly<Record<string, string>> = server.env) {
  return { env, retryDelayMs: 1, sizes: { partBytes: PART, maxCopyBytes: 2 * PART } };
}

function methods(): string[] {
  return server.seen.map(({ method }) => method);
}

describe('createS3Exporter()', () => {
  it('writes blobs below their prefix and the config under every name when asked', async () => {
    const cache = makeCache([someBytes(1000, 1), someBytes(2000, 2)]);
    const exporter = createS3Exporter(options({ prefix: 'team a/+', name: 'main;branch' }), deps());

    await exporter.write(cache.config, cache.writing());

    for (const [digest, bytes] of cache.blobs)
      expect(server.object(`team a/+blobs/${digest}`)).toEqual(bytes);
    expect(server.object('team a/+manifests/main')).toBeDefined();
    expect(server.object('team a/+manifests/branch')).toEqual(server.object('team a/+manifests/main'));
    expect(exporter.name).toBe(`s3://${BUCKET}/team a/+manifests/main;branch`);
  });

  it('reads no blob when the bucket has them all', async () => {
    const cache = makeCache([someBytes(1000, 1)]);
    const exporter = createS3Exporter(options(), deps());
    await exporter.write(cache.config, cache.writing());
    server.seen.length = cache.opened.length = 0;

    await exporter.write(cache.config, cache.writing());

    expect(cache.opened).toEqual([]);
    expect(methods()).toEqual(['HEAD', 'PUT']);
  });

  it('sends a blob again when the object is shorter than the blob', async () => {
    const cache = makeCache([someBytes(1000, 1)]);
    const key = `blobs/${firstBlob(cache).digest}`;
    server.fault = ({ method }, response) => {
      if (method !== 'HEAD') return false;
      response.writeHead(200, { 'content-length': '10', 'last-modified': new Date().toUTCString() }).end();
      return true;
    };

    await createS3Exporter(options(), deps()).write(cache.config, cache.writing());

    expect(server.object(key)).toHaveLength(1000);
  });

  it('sends a large blob in parts, of which some fail, when it is larger than a part', async () => {
    const cache = makeCache([someBytes(5 * PART + 7, 3)]);
    let failures = 3;
    server.fault = ({ what }, response) => {
      if (!what.includes('partNumber') || failures-- <= 0) return false;
      refuse(response, 503, 'SlowDown', { 'retry-after': '0' });
      return true;
    };

    await createS3Exporter(options({ retryMaxAttempts: 5 }), deps()).write(cache.config, cache.writing());

    const { digest } = firstBlob(cache);
    expect(server.object(`blobs/${digest}`)?.equals(cache.blobs.get(digest) as Buffer)).toBe(true);
    expect(server.openUploads()).toBe(0);
    expect(server.seen.filter(({ what }) => what.includes('partNumber'))).toHaveLength(9);
  });

  it('aborts the upload when a part is refused for good', async () => {
    const cache = makeCache([someBytes(4 * PART, 3)]);
    server.fault = ({ what }, response) => {
      if (!what.includes('partNumber=3')) return false;
      refuse(response, 400, 'EntityTooLarge');
      return true;
    };

    const written = createS3Exporter(options(), deps()).write(cache.config, cache.writing());

    await expect(written).rejects.toMatchObject({
      code: 'CACHE_REQUEST_FAILED',
      message: expect.stringContaining('EntityTooLarge: said EntityTooLarge'),
    });
    expect(server.openUploads()).toBe(0);
    expect(server.object('manifests/ocibuild')).toBeUndefined();
  });

  it('aborts the upload when it says 200 and means an error', async () => {
    const cache = makeCache([someBytes(2 * PART, 3)]);
    server.fault = ({ method, what }, response) => {
      if (method !== 'POST' || !what.startsWith('uploadId')) return false;
      refuse(response, 200, 'InvalidPart');
      return true;
    };

    const written = createS3Exporter(options(), deps()).write(cache.config, cache.writing());

    await expect(written).rejects.toMatchObject({ message: expect.stringContaining('InvalidPart') });
    expect(server.openUploads()).toBe(0);
  });

  it('aborts the upload when it is cancelled', async () => {
    const cache = makeCache([someBytes(4 * PART, 3)]);
    const controller = new AbortController();
    server.fault = ({ what }) => {
      if (!what.includes('partNumber=2')) return false;
      controller.abort();
      return true;
    };

    const written = createS3Exporter(options(), deps()).write(cache.config, cache.writing(controller.signal));

    await expect(written).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(server.openUploads()).toBe(0);
    expect(server.seen.at(-1)?.method).toBe('DELETE');
  });

  it('sends no blob whose bytes are not those of its digest', async () => {
    const cache = makeCache([someBytes(3 * PART, 3), someBytes(10, 4)], [0, 1]);
    const written = createS3Exporter(options(), deps()).write(cache.config, cache.writing());

    await expect(written).rejects.toMatchObject({ code: 'BLOB_DIGEST_MISMATCH' });
    for (const digest of cache.blobs.keys()) expect(server.object(`blobs/${digest}`)).toBeUndefined();
    expect(server.openUploads()).toBe(0);
  });

  it('copies objects onto themselves when they are older than touch_refresh', async () => {
    const [old, large, young] = [someBytes(100, 1), someBytes(3 * PART, 2), someBytes(100, 3)];
    const cache = makeCache([old, large, young]);
    const exporter = createS3Exporter(options({ touchRefresh: '2h' }), deps());
    await exporter.write(cache.config, cache.writing());
    const keys = [...cache.blobs.keys()].map((digest) => `blobs/${digest}`);
    const [oldKey = '', largeKey = '', youngKey = ''] = keys;
    server.age(oldKey, 3);
    server.age(largeKey, 3);
    server.age(youngKey, 1);
    server.seen.length = 0;

    await exporter.write(cache.config, cache.writing());

    const copies = server.seen.filter(({ headers }) => headers['x-amz-copy-source'] !== undefined);
    expect(copies.map(({ headers }) => headers['x-amz-copy-source-range'])).toEqual(
      expect.arrayContaining([undefined, `bytes=0-${2 * PART - 1}`, `bytes=${2 * PART}-${3 * PART - 1}`]),
    );
    expect(copies).toHaveLength(3);
    expect(keys.map((key) => server.object(key)?.length)).toEqual([100, 3 * PART, 100]);
    // The server does not touch a file that is copied onto itself, but one made of parts is new.
    server.seen.length = 0;
    await exporter.write(cache.config, cache.writing());
    expect(server.seen.some(({ what }) => what.startsWith('partNumber'))).toBe(false);
  });

  it('says which credentials were refused, without them, when the secret is wrong', async () => {
    const env = { ...server.env, AWS_SECRET_ACCESS_KEY: 'not-the-secret-key' };
    const written = createS3Exporter(options(), deps(env)).write(
      makeCache([]).config,
      makeCache([]).writing(),
    );

    const error = await written.then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    expect(error).toMatchObject({
      code: 'CACHE_AUTH_FAILED',
      message: expect.stringMatching(/SignatureDoesNotMatch.*\(credentials of AWS_ACCESS_KEY_ID\)$/),
    });
    expect(JSON.stringify([error, error?.message])).not.toMatch(/not-the-secret|S3RVER/);
  });

  it('takes its keys from the options when they are given', async () => {
    const { HOME = '' } = server.env;
    const given = options({ accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' });
    const cache = makeCache([someBytes(10, 1)]);
    await createS3Exporter(given, deps({ HOME })).write(cache.config, cache.writing());
    expect(server.object('manifests/ocibuild')).toBeDefined();

    const [loaded] = await createS3Importer(given, deps({ HOME })).load(signal);
    const read = createS3Reader({ ...deps({ HOME }), given: [given] });
    const bytes = await readWhole(read(loaded?.origin as S3Origin, firstBlob(cache), signal));
    expect(bytes).toHaveLength(10);
    expect(JSON.stringify(loaded?.origin)).not.toContain('S3RVER');
  });

  it('refuses options that make no sense when it is made', () => {
    const made = (more: S3CacheOptions) => () => createS3Exporter(options(more), deps());
    expect(made({ bucket: '' })).toThrow('"bucket" is missing');
    expect(made({ touchRefresh: 'soon' })).toThrow('expected a time such as 24h');
    expect(made({ uploadParallelism: 0 })).toThrow('expected 1 or more');
    expect(made({ endpointUrl: 'minio:9000' })).toThrow('expected a URL');
    expect(made({ name: ';' })).toThrow('expected one name or more');
    expect(() => createS3Importer({ bucket: 'b' }, deps({ HOME: dir }))).toThrow('"region" is missing');
  });
});

describe('createS3Importer()', () => {
  it('gives what was written, under each name', async () => {
    const cache = makeCache([someBytes(1000, 1)]);
    await createS3Exporter(options({ name: 'a' }), deps()).write(cache.config, cache.writing());

    const loaded = await createS3Importer(options({ name: 'a;b' }), deps()).load(signal);

    expect(loaded.map(({ config }) => config)).toEqual([cache.config]);
    const bucket = { name: BUCKET, region: 'us-east-1', endpoint: server.url, pathStyle: true };
    expect(loaded[0]?.origin).toEqual({ type: 's3', bucket, blobs: 'blobs/' });
  });

  it('gives nothing when there is no cache, and fails when there is no bucket', async () => {
    expect(await createS3Importer(options(), deps()).load(signal)).toEqual([]);
    const elsewhere = createS3Importer(options({ bucket: 'other' }), deps());
    await expect(elsewhere.load(signal)).rejects.toMatchObject({
      code: 'CACHE_REQUEST_FAILED',
      message: expect.stringContaining('NoSuchBucket'),
    });
  });

  it('tells the region of the bucket when it is another one', async () => {
    server.fault = (_, response) => {
      refuse(response, 301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-1' });
      return true;
    };
    await expect(createS3Importer(options(), deps()).load(signal)).rejects.toMatchObject({
      hint: expect.stringContaining('add region=eu-west-1'),
    });
  });

  it('gives up after retry_max_attempts when the service is busy', async () => {
    server.fault = (_, response) => {
      refuse(response, 503, 'SlowDown');
      return true;
    };
    const loaded = createS3Importer(options({ retryMaxAttempts: 2 }), deps()).load(signal);
    await expect(loaded).rejects.toMatchObject({ message: expect.stringContaining('HTTP 503): SlowDown') });
    expect(server.seen).toHaveLength(2);
  });
});

describe('createS3Reader()', () => {
  it('goes on where it was cut when connections break', async () => {
    const cache = makeCache([someBytes(300_000, 5)]);
    await createS3Exporter(options(), { env: server.env }).write(cache.config, cache.writing());
    const [loaded] = await createS3Importer(options(), deps()).load(signal);
    const blob = firstBlob(cache);
    const whole = cache.blobs.get(blob.digest) as Buffer;
    server.seen.length = 0;
    server.fault = ({ method }, response) => {
      if (method !== 'GET' || server.seen.length > 1) return false;
      response.writeHead(200, { 'content-length': whole.length });
      response.write(whole.subarray(0, 120_000), () => response.destroy());
      return true;
    };

    const read = createS3Reader({ ...deps(), given: [] });
    const bytes = await readWhole(read(loaded?.origin as S3Origin, blob, signal));

    expect(bytes.equals(whole)).toBe(true);
    expect(server.seen).toHaveLength(2);
    expect(server.seen[1]?.headers.range).toMatch(/^bytes=\d{4,}-$/);
  });

  it('fails when the blob is gone', async () => {
    const origin = {
      type: 's3',
      bucket: { name: BUCKET, region: 'x', endpoint: server.url },
      blobs: 'blobs/',
    } as const;
    const read = createS3Reader({ ...deps(), given: [] });
    await expect(read(origin, firstBlob(makeCache([Buffer.from('a')])), signal)).rejects.toMatchObject({
      code: 'CACHE_REQUEST_FAILED',
      message: expect.stringContaining('NoSuchKey'),
    });
  });
});
