import { setTimeout as sleep } from 'node:timers/promises';
import { cancelledError, isOcibuildError, throwIfAborted } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';

export interface RetryOptions {
  readonly signal: AbortSignal;
  /** First pause; doubles each time, up to eight times as long. */
  readonly delayMs: number;
  /** @default 5 */
  readonly maxTries?: number;
}

/** Thrown by an attempt that may be made again; `error` is what the caller gets when attempts are used up. */
export class RetriableFailure extends Error {
  readonly error: unknown;
  /** What the server asked for (`Retry-After`). */
  readonly waitMs: number | undefined;
  constructor(error: unknown, waitMs?: number) {
    super('may be tried again', { cause: error });
    this.error = error;
    this.waitMs = waitMs;
  }
}

const MAX_TRIES = 5;
/** A longer wait is for the user to decide on, so it ends the attempts. */
const MAX_WAIT_MS = 60_000;
/** Failures that often pass by themselves. A refused connection, an unknown host or a bad certificate does not. */
const PASSING: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'HPE_INVALID_EOF_STATE',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** Makes several attempts; pauses are jittered so that many clients do not come back at once. */
export async function withRetry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let tries = 1; ; tries++) {
    throwIfAborted(options.signal);
    try {
      return await attempt();
    } catch (error) {
      if (options.signal.aborted) throw cancelledError(options.signal);
      const failure = error instanceof RetriableFailure ? error : new RetriableFailure(error);
      const again = error instanceof RetriableFailure || isPassing(error);
      if (!again || tries >= (options.maxTries ?? MAX_TRIES) || (failure.waitMs ?? 0) > MAX_WAIT_MS)
        throw failure.error;
      await pause(tries, failure.waitMs, options);
    }
  }
}

/** Waits before try `tries + 1`. */
export async function pause(tries: number, waitMs: number | undefined, options: RetryOptions): Promise<void> {
  const backoff = options.delayMs * Math.min(2 ** (tries - 1), 8) * (0.5 + Math.random() / 2);
  try {
    await sleep(Math.max(backoff, waitMs ?? 0), undefined, { signal: options.signal });
  } catch {
    throw cancelledError(options.signal);
  }
}

/** Whether a failed exchange is worth another try. */
export function isPassing(error: unknown): boolean {
  return !isOcibuildError(error) && PASSING.has(errnoOf(error) ?? '');
}

/** `Retry-After` in ms: seconds, or an HTTP date. @see RFC 9110 §10.2.3 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(at - nowMs, 0);
}

/** Whether a server says that another try may succeed. */
export function isBusy(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}
