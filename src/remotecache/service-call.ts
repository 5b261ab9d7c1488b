import { isBusy, RetriableFailure, type RetryOptions, retryAfterMs, withRetry } from '../http/retry.ts';
import type { HttpResponse } from '../http/transport.ts';
import { type CacheAttempt, cacheConnectionError, cacheResponseError } from './service-error.ts';

/** Codes of S3 that pass though their status does not say so. */
export const PASSING_CODES: readonly string[] = [
  'RequestTimeout',
  'SlowDown',
  'InternalError',
  'ServiceUnavailable',
];

/** Calls a service until it answers, with pauses as long as it asks for. `attempt` sends the request, checks the answer
 * with `checkAnswer` and reads it: a connection that breaks in it counts as failed. @throws CACHE_* */
export async function callService<T>(
  attempt: () => Promise<T>,
  { action, ...options }: RetryOptions & Pick<CacheAttempt, 'action'>,
): Promise<T> {
  try {
    return await withRetry(attempt, options);
  } catch (error) {
    throw cacheConnectionError(error, action);
  }
}

/** The answer, if it is a success. @param attempt.accepts statuses beside 2xx that are one @throws CACHE_* */
export async function checkAnswer(
  response: HttpResponse,
  { accepts = [], ...attempt }: CacheAttempt & { readonly accepts?: readonly number[] | undefined },
): Promise<HttpResponse> {
  const { status, headers } = response;
  if ((status >= 200 && status < 300) || accepts.includes(status)) return response;
  const error = await cacheResponseError(response, attempt);
  if (!isBusy(status) && !PASSING_CODES.includes(String(error.details.serviceCode))) throw error;
  throw new RetriableFailure(error, retryAfterMs(headers['retry-after'], Date.now()));
}
