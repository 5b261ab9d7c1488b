import { readFileSync } from 'node:fs';
import { OcibuildError } from '../../errors/error.ts';
import type { HttpRequest, Transport } from '../../http/transport.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { callService, checkAnswer } from '../service-call.ts';
import { readText, tagText } from '../service-error.ts';
import { profileName, readProfile } from './aws-profile.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** When they end, ms since the epoch. */
  readonly expiresMs?: number;
  /** For messages: where they came from. */
  readonly from: string;
}

export interface AwsCredentialsDeps {
  readonly env: Env;
  readonly transport: Transport;
  /** Region of the token service. */
  readonly region: string;
  readonly retryDelayMs: number;
}

/** Asked anew that long before they end. */
const RENEW_BEFORE_MS = 5 * 60_000;
/** The metadata service of an instance is near, or there is none. */
const METADATA_TIMEOUT_MS = 1000;
const METADATA_HOST = 'http://169.254.169.254';
const CONTAINER_HOST = 'http://169.254.170.2';
/** Hosts that a container's credentials may be asked of without TLS. */
const CONTAINER_HOSTS = ['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]', 'localhost', '[::1]'];

/**
 * Gives the credentials of the environment: variables, a web identity (IAM roles for service accounts), the profile's
 * files, a container's endpoint, an instance's metadata (IMDSv2); the first that is there. They are kept, and renewed
 * before they end.
 * @throws CACHE_AUTH_FAILED where there are none, CACHE_UNREACHABLE
 */
export function createAwsCredentials(
  deps: AwsCredentialsDeps,
): (signal: AbortSignal) => Promise<AwsCredentials> {
  let known: AwsCredentials | undefined;
  let asking: { readonly by: AbortSignal; readonly answer: Promise<AwsCredentials> } | undefined;
  const ask = (by: AbortSignal): NonNullable<typeof asking> => {
    const answer = find(deps, by)
      .then((found) => {
        known = found;
        return found;
      })
      .finally(() => {
        asking = undefined;
      });
    asking = { by, answer };
    return asking;
  };
  return async function get(signal) {
    if (known !== undefined && (known.expiresMs ?? Number.POSITIVE_INFINITY) - Date.now() > RENEW_BEFORE_MS) {
      return known;
    }
    // Eight uploads begin at once, and one question is enough.
    const { by, answer } = asking ?? ask(signal);
    try {
      return await answer;
    } catch (error) {
      // Who asked was told to stop: that is no answer for the others.
      if (!by.aborted || signal.aborted) throw error;
      return get(signal);
    }
  };
}

async function find(deps: AwsCredentialsDeps, signal: AbortSignal): Promise<AwsCredentials> {
  const { env } = deps;
  if (env.AWS_ACCESS_KEY_ID && env.AWS_SECRET_ACCESS_KEY) {
    return {
      accessKeyId: env.AWS_ACCESS_KEY_ID,
      secretAccessKey: env.AWS_SECRET_ACCESS_KEY,
      ...(env.AWS_SESSION_TOKEN ? { sessionToken: env.AWS_SESSION_TOKEN } : {}),
      from: 'AWS_ACCESS_KEY_ID',
    };
  }
  if (env.AWS_WEB_IDENTITY_TOKEN_FILE && env.AWS_ROLE_ARN) return fromWebIdentity(deps, signal);
  const found = fromProfile(env) ?? (await fromContainer(deps, signal)) ?? (await fromInstance(deps, signal));
  if (found !== undefined) return found;
  throw new OcibuildError(
    'CACHE_AUTH_FAILED',
    `Cannot use the S3 cache: no credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor in profile "${profileName(env)}"`,
    { hint: 'set both variables, or AWS_PROFILE to a profile of ~/.aws/credentials' },
  );
}

function fromProfile(env: Env): AwsCredentials | undefined {
  const profile = readProfile(env);
  const accessKeyId = profile?.aws_access_key_id;
  const secretAccessKey = profile?.aws_secret_access_key;
  if (!accessKeyId || !secretAccessKey) return undefined;
  const sessionToken = profile?.aws_session_token;
  return {
    ...{ accessKeyId, secretAccessKey, from: `profile "${profileName(env)}"` },
    ...(sessionToken ? { sessionToken } : {}),
  };
}

/** @see AWS STS API Reference §AssumeRoleWithWebIdentity */
async function fromWebIdentity(deps: AwsCredentialsDeps, signal: AbortSignal): Promise<AwsCredentials> {
  const { env, region } = deps;
  const file = env.AWS_WEB_IDENTITY_TOKEN_FILE ?? '';
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const url = new URL(env.AWS_ENDPOINT_URL_STS || `https://sts.${region}.${domain}`);
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: env.AWS_ROLE_ARN ?? '',
    RoleSessionName: env.AWS_ROLE_SESSION_NAME || 'ocibuild',
    WebIdentityToken: readToken(file, 'AWS_WEB_IDENTITY_TOKEN_FILE'),
  });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const body = Buffer.from(form.toString());
  const xml = await ask(deps, { method: 'POST', url, headers, body, signal }, url.host);
  return usable(
    {
      AccessKeyId: tagText(xml, 'AccessKeyId'),
      SecretAccessKey: tagText(xml, 'SecretAccessKey'),
      Token: tagText(xml, 'SessionToken'),
      Expiration: tagText(xml, 'Expiration'),
    },
    'AWS_WEB_IDENTITY_TOKEN_FILE',
  );
}

/** @see AWS SDKs and Tools Reference Guide §Container credential provider */
async function fromContainer(
  deps: AwsCredentialsDeps,
  signal: AbortSignal,
): Promise<AwsCredentials | undefined> {
  const { env } = deps;
  const relative = env.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
  const full = env.AWS_CONTAINER_CREDENTIALS_FULL_URI;
  if (!relative && !full) return undefined;
  const from = relative ? 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI' : 'AWS_CONTAINER_CREDENTIALS_FULL_URI';
  const url = relative ? URL.parse(relative, CONTAINER_HOST) : URL.parse(full ?? '');
  const isNear = url !== null && (CONTAINER_HOSTS.includes(url.hostname) || url.hostname.startsWith('127.'));
  if (url === null || (url.protocol !== 'https:' && !isNear)) {
    throw new OcibuildError('CACHE_AUTH_FAILED', `Cannot use ${from}: it is neither HTTPS nor this machine`);
  }
  const tokenFile = env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
  const token = tokenFile
    ? readToken(tokenFile, 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE')
    : env.AWS_CONTAINER_AUTHORIZATION_TOKEN;
  const headers: Record<string, string> = token ? { authorization: token } : {};
  return usable(readJson(await ask(deps, { method: 'GET', url, headers, signal }, url.host), from), from);
}

/** @see Amazon EC2 User Guide §Use the Instance Metadata Service, version 2 */
async function fromInstance(
  deps: AwsCredentialsDeps,
  signal: AbortSignal,
): Promise<AwsCredentials | undefined> {
  const { env, transport } = deps;
  if (env.AWS_EC2_METADATA_DISABLED?.toLowerCase() === 'true') return undefined;
  const base = env.AWS_EC2_METADATA_SERVICE_ENDPOINT || METADATA_HOST;
  const get = async (
    path: string,
    method: 'GET' | 'PUT',
    headers: Record<string, string>,
  ): Promise<string> => {
    const soon = AbortSignal.any([signal, AbortSignal.timeout(METADATA_TIMEOUT_MS)]);
    const response = await transport({ method, url: new URL(path, base), headers, signal: soon });
    const text = await readText(response);
    if (response.status !== 200) throw new RangeError(`HTTP ${response.status}`);
    return text.trim();
  };
  try {
    const path = '/latest/meta-data/iam/security-credentials/';
    const ttl = { 'x-aws-ec2-metadata-token-ttl-seconds': '21600', 'content-length': '0' };
    const token = await get('/latest/api/token', 'PUT', ttl);
    const headers = { 'x-aws-ec2-metadata-token': token };
    const [role = ''] = (await get(path, 'GET', headers)).split('\n');
    const from = `role "${role}" of the instance`;
    return usable(readJson(await get(`${path}${role}`, 'GET', headers), from), from);
  } catch (error) {
    // Most machines are no instance: whatever is at that address, or is not, then says nothing.
    if (signal.aborted) throw error;
    return undefined;
  }
}

function ask(deps: AwsCredentialsDeps, request: HttpRequest, name: string): Promise<string> {
  const action = `ask "${name}" for credentials`;
  return callService(async () => readText(await checkAnswer(await deps.transport(request), { action })), {
    ...{ action, signal: request.signal, delayMs: deps.retryDelayMs },
  });
}

function readToken(file: string, variable: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const why = errnoOf(error) ?? 'it cannot be read';
    throw new OcibuildError('CACHE_AUTH_FAILED', `Cannot read "${file}" of ${variable}: ${why}`, {
      cause: error,
    });
  }
}

function readJson(text: string, from: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw invalid(from, error);
  }
}

function usable(fields: Readonly<Record<string, unknown>>, from: string): AwsCredentials {
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: token, Expiration } = fields;
  if (typeof accessKeyId !== 'string' || typeof secretAccessKey !== 'string') throw invalid(from);
  const expiresMs = typeof Expiration === 'string' ? Date.parse(Expiration) : Number.NaN;
  return {
    ...{ accessKeyId, secretAccessKey, from },
    ...(typeof token === 'string' && token !== '' ? { sessionToken: token } : {}),
    ...(Number.isNaN(expiresMs) ? {} : { expiresMs }),
  };
}

function invalid(from: string, cause?: unknown): OcibuildError {
  const message = `Cannot use the credentials of ${from}: the answer holds no key`;
  return new OcibuildError('CACHE_RESPONSE_INVALID', message, { cause });
}
