import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';
import { readBody as readWhole } from '../http/body.ts';
import type { HttpResponse } from '../http/transport.ts';
import { describeFailure, describeStatus, isCertificateFault, quoteServer } from '../http/words.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** Error texts are for people; more than this is read by nobody. */
const MAX_ERROR_BYTES = 64 * 1024;

/** What was tried, for messages. */
export interface Attempted {
  /** e.g. `pull "app:v0" from "registry.example"`. */
  readonly action: string;
  /** Which credentials were used, or where none were found. */
  readonly used?: string;
  /** For whom one would log in. */
  readonly registry?: string;
}

/** Reads a body whole; `what` is for the message. @throws REGISTRY_RESPONSE_INVALID when it is longer than `maxBytes`. */
export async function readBody(
  response: HttpResponse,
  maxBytes: number,
  what = "the registry's answer",
): Promise<Buffer> {
  return readWhole(response, {
    maxBytes,
    tooLong: () =>
      new OcibuildError('REGISTRY_RESPONSE_INVALID', `Cannot read ${what}: it has more than ${maxBytes} B`),
  });
}

/** The error for an answer that is no success; reads the body for the registry's own words. */
export async function responseError(
  response: HttpResponse,
  { action, used, registry }: Attempted,
): Promise<OcibuildError> {
  const { status, url } = response;
  const told = await errorText(response);
  const message = `Cannot ${action}: ${describeStatus(status, 'the registry')}${told === '' ? '' : `: ${told}`}`;
  const facts = { details: { status, url: redact(url.origin + url.pathname) } };
  switch (status) {
    case 401:
    case 403:
      return new OcibuildError('REGISTRY_AUTH_FAILED', `${message}${shownUse(used)}`, {
        ...facts,
        hint: loginHint(registry),
      });
    case 404:
      return new OcibuildError('REGISTRY_NOT_FOUND', message, {
        ...facts,
        hint: 'check the name and the tag',
      });
    case 429:
      return new OcibuildError('REGISTRY_REQUEST_FAILED', message, {
        ...facts,
        hint: 'the registry limits requests: wait, or pull from a mirror',
      });
    default:
      return new OcibuildError('REGISTRY_REQUEST_FAILED', message, facts);
  }
}

/** The error for a connection that failed; our own errors pass as they are. */
export function connectionError(error: unknown, action: string): OcibuildError {
  if (isOcibuildError(error)) return error;
  const hint = hintOf(errnoOf(error) ?? '');
  return new OcibuildError('REGISTRY_UNREACHABLE', `Cannot ${action}: ${describeFailure(error)}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

function hintOf(code: string): string | undefined {
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'ECONNREFUSED':
      return 'check the registry name, the network and HTTPS_PROXY';
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return "check this machine's clock, and the registry's certificate";
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return "the certificate is another host's: check the registry name";
    case 'EPROTO':
      return 'it may speak plain HTTP: name it with http:// in a hosts.toml, see docs/registries.md';
  }
  if (!isCertificateFault(code)) return undefined;
  return "set NODE_EXTRA_CA_CERTS to a file with the registry's certificate authority, or name it in a hosts.toml, see docs/registries.md";
}

/** The error for a registry that wants a password. */
export function authError({ action, used, registry }: Attempted, why: string): OcibuildError {
  return new OcibuildError('REGISTRY_AUTH_FAILED', `Cannot ${action}: ${why}${shownUse(used)}`, {
    hint: loginHint(registry),
  });
}

function loginHint(registry: string | undefined): string {
  const command = registry === undefined ? 'ocibuild login' : `ocibuild login ${registry}`;
  return `check the name; for a private image log in first with \`${command}\``;
}

function shownUse(used: string | undefined): string {
  return used === undefined ? '' : ` (${used})`;
}

/** `CODE message` of an OCI error body; the text of a plain one. @see distribution-spec §Error Codes */
async function errorText(response: HttpResponse): Promise<string> {
  let text: string;
  try {
    text = (await readBody(response, MAX_ERROR_BYTES)).toString();
  } catch {
    return '';
  }
  const parsed = parseErrors(text);
  const plain = (response.headers['content-type'] ?? '').startsWith('text/plain') ? text : '';
  return quoteServer(parsed ?? plain);
}

function parseErrors(text: string): string | undefined {
  try {
    const { errors } = JSON.parse(text) as { errors?: unknown };
    if (!Array.isArray(errors)) return undefined;
    return errors
      .map((entry: unknown) => {
        const { code, message } = (entry ?? {}) as { code?: unknown; message?: unknown };
        return [code, message].filter((part) => typeof part === 'string' && part !== '').join(' ');
      })
      .join('; ');
  } catch {
    return undefined;
  }
}
