import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpRequest } from '../../../../src/http/transport.ts';
import { createS3Client, type S3Bucket, type S3Call } from '../../../../src/remotecache/s3/s3-client.ts';

const signal = new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2013, 4, 24), toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** What the client sends. */
async function sent(bucket: S3Bucket, call: Pick<S3Call, 'key'> & Partial<S3Call>): Promise<HttpRequest> {
  const requests: HttpRequest[] = [];
  const client = createS3Client(bucket, {
    async transport(request) {
      requests.push(request);
      return { status: 200 } as never;
    },
    credentials: async () => ({
      accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      from: 'test',
    }),
    ...{ retryDelayMs: 1, maxTries: 1 },
  });
  await client.call({ method: 'GET', action: 'test', signal, ...call }, async () => undefined);
  return requests[0] as HttpRequest;
}

describe('createS3Client()', () => {
  it("signs as the example of AWS's own documentation does", async () => {
    // Amazon S3 API Reference, Signature Version 4, example "GET Bucket Lifecycle".
    const bucket = { name: 'examplebucket', region: 'us-east-1', endpoint: 'https://s3.amazonaws.com' };
    const { headers, url } = await sent(bucket, { key: '', query: { lifecycle: '' } });
    expect(url.href).toBe('https://examplebucket.s3.amazonaws.com/?lifecycle=');
    expect(headers.authorization).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
        'SignedHeaders=host;x-amz-content-sha256;x-amz-date, ' +
        'Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    );
  });

  it.each([
    [{ name: 'b', region: 'eu-west-1' }, 'https://b.s3.eu-west-1.amazonaws.com/a/k'],
    [{ name: 'b', region: 'cn-north-1' }, 'https://b.s3.cn-north-1.amazonaws.com.cn/a/k'],
    [{ name: 'b.c', region: 'eu-west-1' }, 'https://s3.eu-west-1.amazonaws.com/b.c/a/k'],
    [{ name: 'b', region: 'r', endpoint: 'https://s3.example' }, 'https://b.s3.example/a/k'],
    [
      { name: 'b', region: 'r', endpoint: 'https://s3.example/x', pathStyle: true },
      'https://s3.example/x/b/a/k',
    ],
    [{ name: 'b', region: 'r', endpoint: 'http://10.0.0.1:9000' }, 'http://10.0.0.1:9000/b/a/k'],
  ])('finds the address of %j', async (bucket, address) => {
    expect((await sent(bucket, { key: 'a/k' })).url.href).toBe(address);
  });

  it('writes what is special in keys so that it stays', async () => {
    const bucket = { name: 'b', region: 'eu-west-1' };
    const { url } = await sent(bucket, { key: "x y/a+b?c#d%'ü:1" });
    expect(url.pathname).toBe("/x%20y/a%2Bb%3Fc%23d%25'%C3%BC:1");
  });
});
