import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { openResumedBody, rangeFrom } from '../../http/resumed-body.ts';
import { RetriableFailure } from '../../http/retry.ts';
import type { HttpRequest, HttpResponse, Transport } from '../../http/transport.ts';
import { callService, checkAnswer, PASSING_CODES } from '../service-call.ts';
import { cacheConnectionError, readText, tagText } from '../service-error.ts';
import type { AwsCredentials } from './aws-credentials.ts';

/** Where a bucket is. */
export interface S3Bucket {
  readonly name: string;
  readonly region: string;
  /** Of a service that is not AWS. */
  readonly endpoint?: string;
  /** The bucket's name stands in the path, not in the host name. */
  readonly pathStyle?: boolean;
}

export interface S3ClientDeps {
  readonly transport: Transport;
  readonly credentials: (signal: AbortSignal) => Promise<AwsCredentials>;
  readonly retryDelayMs: number;
  readonly maxTries: number;
}

export interface S3Call {
  readonly method: HttpRequest['method'];
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Statuses beside 2xx that `use` takes. */
  readonly accepts?: readonly number[];
  /** For messages: `write "blobs/…"`. */
  readonly action: string;
  readonly signal: AbortSignal;
}

export interface S3Client {
  /** Sends a signed request, with retries; `use` reads the answer, and a connection that breaks in it counts as failed.
   * @throws CACHE_* */
  call<T>(call: S3Call, use: (response: HttpResponse) => Promise<T>): Promise<T>;
  /** The bytes of an object from `offset` on; what breaks is taken up again. @throws CACHE_* */
  read(
    key: string,
    part: { readonly offset: number; readonly size: number },
    signal: AbortSignal,
  ): Promise<Readable>;
}

export function createS3Client(bucket: S3Bucket, deps: S3ClientDeps): S3Client {
  const base = baseUrl(bucket);

  async function attempt(call: S3Call): Promise<HttpResponse> {
    const { AwsV4Signer } = await import('aws4fetch');
    const { accessKeyId, secretAccessKey, sessionToken, from } = await deps.credentials(call.signal);
    const url = new URL(base.href + encodeKey(call.key));
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    const { body = new Uint8Array(0), method, signal } = call;
    const signer = new AwsV4Signer({
      ...{ method, url: url.href, accessKeyId, secretAccessKey, service: 's3', region: bucket.region },
      ...(sessionToken === undefined ? {} : { sessionToken }),
      // The server compares the body with it, so what arrives is what was meant.
      headers: { ...call.headers, 'x-amz-content-sha256': createHash('sha256').update(body).digest('hex') },
    });
    const signed = await signer.sign();
    const headers = Object.fromEntries(signed.headers);
    const sends = method === 'PUT' || method === 'POST';
    const response = await deps.transport({
      ...{ method, url, signal },
      headers: { ...headers, ...(sends ? { 'content-length': String(body.length) } : {}) },
      ...(body.length === 0 ? {} : { body }),
    });
    const secrets = [secretAccessKey, accessKeyId, ...(sessionToken === undefined ? [] : [sessionToken])];
    const about = { action: `${call.action} of bucket "${bucket.name}"`, used: from, secrets };
    return checkAnswer(response, { ...about, accepts: call.accepts }).catch((error: unknown) => {
      throw isOcibuildError(error) ? withRegionHint(error, response, bucket) : error;
    });
  }

  const call: S3Client['call'] = ({ signal, ...rest }, use) =>
    callService(async () => use(await attempt({ signal, ...rest })), {
      ...{ signal, delayMs: deps.retryDelayMs, maxTries: deps.maxTries },
      action: `${rest.action} of bucket "${bucket.name}"`,
    });

  return {
    call,
    read(key, { offset, size }, signal) {
      const action = `read "${key}"`;
      const where = `Cannot ${action} of bucket "${bucket.name}"`;
      return openResumedBody({
        request: (from) =>
          call(
            { method: 'GET', key, headers: rangeFrom(from), action, signal },
            async (response) => response,
          ),
        ...{ size, offset, signal },
        retryDelayMs: deps.retryDelayMs,
        invalid: (why) => new OcibuildError('CACHE_RESPONSE_INVALID', `${where}: ${why}`),
        broken: (error) => cacheConnectionError(error, `${action} of bucket "${bucket.name}"`),
      });
    },
  };
}

/** Reads the XML of an answer that says 200; some failures come that way. @throws CACHE_REQUEST_FAILED */
export async function readS3Xml(response: HttpResponse, action: string): Promise<string> {
  const xml = await readText(response);
  if (!/<Error>/.test(xml)) return xml;
  const error = new OcibuildError(
    'CACHE_REQUEST_FAILED',
    `Cannot ${action}: ${tagText(xml, 'Code') ?? 'it failed'}: ${tagText(xml, 'Message') ?? 'no reason given'}`,
  );
  // @see Amazon S3 API Reference §CompleteMultipartUpload: such an answer is to be tried again
  throw PASSING_CODES.includes(tagText(xml, 'Code') ?? '') ? new RetriableFailure(error) : error;
}

/** A key as a copy names its source, and as it stands in an address. */
export function encodeKey(key: string): string {
  // Colons may stand in paths as they are, and some servers take the source of a copy only so.
  return key.split('/').map(encodeURIComponent).join('/').replaceAll('%3A', ':');
}

/** @see Amazon S3 User Guide §Virtual hosting of buckets */
function baseUrl({ name, region, endpoint, pathStyle }: S3Bucket): URL {
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const url = new URL(endpoint ?? `https://s3.${region}.${domain}`);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  // An address has no names below it, and a wildcard certificate covers no dots.
  const inPath = pathStyle === true || isAddress(url.hostname) || name.includes('.');
  if (inPath) url.pathname += `${encodeKey(name)}/`;
  else url.hostname = `${name}.${url.hostname}`;
  return url;
}

function isAddress(hostname: string): boolean {
  return hostname.startsWith('[') || /^[\d.]+$/.test(hostname) || hostname === 'localhost';
}

function withRegionHint(
  error: OcibuildError,
  { headers }: HttpResponse,
  { region }: S3Bucket,
): OcibuildError {
  const actual = headers['x-amz-bucket-region'];
  if (typeof actual !== 'string' || actual === region) return error;
  return new OcibuildError(error.code, error.message, {
    details: error.details,
    hint: `the bucket is in region "${actual}", not in "${region}": add region=${actual}`,
  });
}
