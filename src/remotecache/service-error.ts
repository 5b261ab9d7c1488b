import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';
import { readBody } from '../http/body.ts';
import type { HttpResponse } from '../http/transport.ts';
import { describeFailure, describeStatus, isCertificateFault, quoteServer } from '../http/words.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** What was tried, for messages. */
export interface CacheAttempt {
  /** e.g. `read cache "app" of bucket "builds"`. */
  readonly action: string;
  /** Where the credentials came from. */
  readonly used?: string;
  /** Values that no message may show. */
  readonly secrets?: readonly string[];
}

/** Answers of services about services; more than this is read by nobody. */
const MAX_TEXT_BYTES = 64 * 1024;

/** Reads a short answer whole. @throws CACHE_RESPONSE_INVALID when it is longer than `maxBytes` */
export async function readText(response: HttpResponse, maxBytes: number = MAX_TEXT_BYTES): Promise<string> {
  const tooLong = (): Error =>
    new OcibuildError(
      'CACHE_RESPONSE_INVALID',
      `Cannot read the answer of "${response.url.host}": it is longer than ${maxBytes} B`,
    );
  return (await readBody(response, { maxBytes, tooLong })).toString();
}

/** The error for an answer that is no success: with the service's own code and words, as XML (S3, Azure) or JSON
 * (GitHub) has them. */
export async function cacheResponseError(
  response: HttpResponse,
  { action, used, secrets }: CacheAttempt,
): Promise<OcibuildError> {
  const { status } = response;
  const text = await readText(response).catch(() => '');
  const told = toldBy(text);
  const words = quoteServer([told.code, told.message].filter(Boolean).join(': '), secrets);
  const message = `Cannot ${action}: ${describeStatus(status, 'the service')}${words === '' ? '' : `: ${words}`}`;
  const details = { status, ...(told.code === undefined ? {} : { serviceCode: redact(told.code, secrets) }) };
  if (status === 401 || status === 403 || /^(?:Expired|Invalid)Token/.test(told.code ?? '')) {
    const shown = used === undefined ? '' : ` (credentials of ${used})`;
    return new OcibuildError('CACHE_AUTH_FAILED', `${message}${shown}`, { details });
  }
  return new OcibuildError('CACHE_REQUEST_FAILED', message, { details });
}

/** The error for a connection that failed; our own errors pass as they are. */
export function cacheConnectionError(error: unknown, action: string): OcibuildError {
  if (isOcibuildError(error)) return error;
  const hint = isCertificateFault(errnoOf(error) ?? '')
    ? { hint: "set NODE_EXTRA_CA_CERTS to a file with the service's certificate authority" }
    : {};
  return new OcibuildError('CACHE_UNREACHABLE', `Cannot ${action}: ${describeFailure(error)}`, {
    cause: error,
    ...hint,
  });
}

/** Text of the first element of that name, without the markup of XML. */
export function tagText(xml: string, tag: string): string | undefined {
  const text = new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1];
  return text
    ?.replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#34;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');
}

/** The code and the words of an error body. */
export function toldBy(text: string): {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
} {
  if (text.trimStart().startsWith('<'))
    return { code: tagText(text, 'Code'), message: tagText(text, 'Message') };
  try {
    // GitHub's first protocol says `typeKey` and `message`, Twirp `code` and `msg`; some begin with a byte order mark.
    const body = Object(JSON.parse(text.replace(/^\ufeff/, ''))) as Record<string, unknown>;
    const first = (...values: unknown[]): string | undefined =>
      values.find((value): value is string => typeof value === 'string' && value !== '');
    return { code: first(body.code, body.typeKey), message: first(body.msg, body.message, body.error) };
  } catch {
    return {};
  }
}
