import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTransport } from '../../../../src/http/transport.ts';
import { createAwsCredentials } from '../../../../src/remotecache/s3/aws-credentials.ts';
import { type Listening, listenOnLoopback } from '../../../support/loopback.ts';

const signal = new AbortController().signal;
const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
const JSON_KEYS = { AccessKeyId: KEYS.accessKeyId, SecretAccessKey: KEYS.secretAccessKey, Token: 'session' };
let dir: string;
let server: Listening | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ocibuild-aws-'));
});
afterEach(async () => {
  rmSync(dir, { recursive: true });
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

function credentials(more: Readonly<Record<string, string>>) {
  const env = { HOME: dir, AWS_EC2_METADATA_DISABLED: 'true', ...more };
  const transport = createTransport({
    ...{ env, timeoutMs: 1000 },
    mayBePlain: () => false,
    errorCode: 'CACHE_RESPONSE_INVALID',
  });
  return createAwsCredentials({ env, transport, region: 'eu-west-1', retryDelayMs: 1 });
}

async function serve(answer: (request: IncomingMessage, body: string, response: ServerResponse) => void) {
  server = await listenOnLoopback(
    createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => answer(request, body, response));
    }),
  );
  return `http://${server.host}`;
}

describe('createAwsCredentials()', () => {
  it('takes the variables first', async () => {
    writeFileSync(
      join(dir, 'credentials'),
      '[default]\naws_access_key_id = other\naws_secret_access_key = other\n',
    );
    const find = credentials({
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
      AWS_SESSION_TOKEN: 'session',
      AWS_SHARED_CREDENTIALS_FILE: join(dir, 'credentials'),
    });
    expect(await find(signal)).toEqual({ ...KEYS, sessionToken: 'session', from: 'AWS_ACCESS_KEY_ID' });
  });

  it('takes the profile that AWS_PROFILE names, of either file', async () => {
    const [file, config] = [join(dir, 'credentials'), join(dir, 'config')];
    writeFileSync(
      file,
      '[default]\naws_access_key_id=no\n\n[ ci ] ; ours\r\naws_access_key_id = AKIDEXAMPLE\r\n',
    );
    writeFileSync(
      config,
      '[profile ci]\ns3 =\n  aws_secret_access_key = nested\naws_secret_access_key = secret # old\n',
    );
    const files = { AWS_SHARED_CREDENTIALS_FILE: file, AWS_CONFIG_FILE: config };

    expect(await credentials({ ...files, AWS_PROFILE: 'ci' })(signal)).toEqual({
      ...KEYS,
      from: 'profile "ci"',
    });
    await expect(credentials({ ...files, AWS_PROFILE: 'other' })(signal)).rejects.toMatchObject({
      code: 'CACHE_AUTH_FAILED',
      message: expect.stringContaining('nor in profile "other"'),
    });
  });

  it('exchanges a web identity, and renews what ends soon', async () => {
    writeFileSync(join(dir, 'token'), 'jwt+/=\n');
    const asked: string[] = [];
    const url = await serve((_, body, response) => {
      asked.push(body);
      const ends = new Date(Date.now() + (asked.length === 1 ? 60_000 : 3_600_000)).toISOString();
      response.end(
        `<A><Credentials><AccessKeyId>AKIDEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>a&amp;b</SessionToken><Expiration>${ends}</Expiration></Credentials></A>`,
      );
    });
    const find = credentials({
      AWS_WEB_IDENTITY_TOKEN_FILE: join(dir, 'token'),
      AWS_ROLE_ARN: 'arn:aws:iam::1:role/ci',
      AWS_ENDPOINT_URL_STS: url,
    });

    expect(await find(signal)).toMatchObject({ ...KEYS, sessionToken: 'a&b' });
    await find(signal);
    await find(signal);

    expect(asked).toHaveLength(2);
    expect(Object.fromEntries(new URLSearchParams(asked[0]))).toMatchObject({
      Action: 'AssumeRoleWithWebIdentity',
      RoleArn: 'arn:aws:iam::1:role/ci',
      WebIdentityToken: 'jwt+/=',
    });
  });

  it('asks once for all that come while it asks, and anew when that failed', async () => {
    let asked = 0;
    const url = await serve((_, __, response) => {
      asked += 1;
      const ok = asked > 1;
      response.writeHead(ok ? 200 : 403).end(ok ? JSON.stringify(JSON_KEYS) : '{"message":"no"}');
    });
    const find = credentials({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/v1/credentials` });
    const eight = () => Promise.allSettled(Array.from({ length: 8 }, () => find(signal)));

    expect((await eight()).map(({ status }) => status)).toEqual(Array<string>(8).fill('rejected'));
    expect(asked).toBe(1);
    expect((await eight()).map(({ status }) => status)).toEqual(Array<string>(8).fill('fulfilled'));
    expect(asked).toBe(2);
  });

  it('asks again for the others when the one that asked is stopped', async () => {
    const first = new AbortController();
    let asked = 0;
    const url = await serve((_, __, response) => {
      asked += 1;
      // The first question stays without an answer.
      if (asked === 1) first.abort();
      else response.end(JSON.stringify(JSON_KEYS));
    });
    const find = credentials({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/v1/credentials` });
    const [stopped, other] = await Promise.allSettled([find(first.signal), find(signal)]);
    expect(stopped.status).toBe('rejected');
    expect(other).toMatchObject({ status: 'fulfilled', value: KEYS });
  });

  it('asks the endpoint of a container with its token', async () => {
    writeFileSync(join(dir, 'token'), 'for-the-pod\n');
    const url = await serve((request, _, response) => {
      const ok = request.headers.authorization === 'for-the-pod';
      response.writeHead(ok ? 200 : 403).end(ok ? JSON.stringify(JSON_KEYS) : '{"message":"no"}');
    });
    const full = { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/v1/credentials` };
    const file = { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: join(dir, 'token') };

    expect(await credentials({ ...full, ...file })(signal)).toMatchObject({
      ...KEYS,
      sessionToken: 'session',
    });
    await expect(credentials(full)(signal)).rejects.toMatchObject({ code: 'CACHE_AUTH_FAILED' });
    const away = credentials({ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://credentials.example/' });
    await expect(away(signal)).rejects.toThrow('it is neither HTTPS nor this machine');
  });

  it("asks an instance's metadata with a session token, and nothing where it is off", async () => {
    const url = await serve((request, _, response) => {
      const { url: path, method } = request;
      if (method === 'PUT' && path === '/latest/api/token') return response.end('session-of-metadata');
      if (request.headers['x-aws-ec2-metadata-token'] !== 'session-of-metadata')
        return response.writeHead(401).end();
      if (path?.endsWith('/security-credentials/')) return response.end('ci-role\n');
      return response.end(path?.endsWith('/ci-role') ? JSON.stringify(JSON_KEYS) : '');
    });
    const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: url };
    const on = credentials({ ...env, AWS_EC2_METADATA_DISABLED: 'false' });

    expect(await on(signal)).toMatchObject({ ...KEYS, from: 'role "ci-role" of the instance' });
    await expect(credentials(env)(signal)).rejects.toMatchObject({ code: 'CACHE_AUTH_FAILED' });
  });
});
