import { redact } from '../errors/redact.ts';
import { errnoOf } from '../util/atomic-fs.ts';

const STATUS_WORDS: Readonly<Record<number, string>> = {
  401: 'access was denied',
  403: 'access was denied',
  404: 'it was not found',
  429: 'too many requests',
};

/** What a status says, for messages: `access was denied (HTTP 401)`. @param server e.g. `the registry` */
export function describeStatus(status: number, server: string): string {
  const words = STATUS_WORDS[status] ?? `${server} ${status >= 500 ? 'failed' : 'refused'}`;
  return `${words} (HTTP ${status})`;
}

/** Why a connection failed, for messages. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown reason';
  return redact(error.message || (errnoOf(error) ?? error.name));
}

/** Whether the server's certificate is what is wrong. @param code e.g. `DEPTH_ZERO_SELF_SIGNED_CERT` */
export function isCertificateFault(code: string): boolean {
  return /CERT|SIGNATURE|SELF_SIGNED|ISSUER/.test(code);
}

/** Words of a server fit for a message: one line, not too long, without secrets. */
export function quoteServer(text: string, secrets?: readonly string[]): string {
  return redact(text, secrets).replace(/\s+/g, ' ').trim().slice(0, MAX_QUOTED);
}

const MAX_QUOTED = 400;
