import { OcibuildError } from '../../errors/error.ts';
import type { HttpResponse, Transport } from '../../http/transport.ts';
import { callService, checkAnswer } from '../service-call.ts';
import { readText } from '../service-error.ts';
import type { GhaEntry, GhaJson, GhaSend } from './types.ts';

/** Sends requests of the service, with retries that wait as long as it asks for. @throws CACHE_* */
export function createGhaSend(deps: {
  readonly transport: Transport;
  readonly retryDelayMs: number;
  /** Values that no message may show. */
  readonly secrets: readonly string[];
}): GhaSend {
  const { transport, retryDelayMs: delayMs, secrets } = deps;
  return (request, { action, accepts }, use) => {
    const about = { action, secrets, used: 'ACTIONS_RUNTIME_TOKEN', accepts };
    return callService(async () => use(await checkAnswer(await transport(request), about)), {
      ...{ action, signal: request.signal, delayMs },
    });
  };
}

/** Headers and body of a JSON request. */
export function jsonBody(
  headers: Readonly<Record<string, string>>,
  content: GhaJson,
): { readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array } {
  const body = Buffer.from(JSON.stringify(content));
  const about = { 'content-type': 'application/json', 'content-length': String(body.length) };
  return { headers: { ...headers, ...about }, body };
}

/** An answer as JSON; empty where it has no body. @throws CACHE_RESPONSE_INVALID */
export async function readJson(response: HttpResponse, action: string): Promise<GhaJson> {
  const text = await readText(response);
  if (text === '') return {};
  try {
    return Object(JSON.parse(text)) as GhaJson;
  } catch {
    throw invalidAnswer(action, 'its answer is no JSON');
  }
}

/** Reads an answer that says nothing but yes. */
export async function drained({ body }: HttpResponse): Promise<void> {
  body.resume();
}

/** The entry that the service found. A service may find others than those asked for. */
export function entryOf(key: unknown, location: unknown, prefix: string): GhaEntry | undefined {
  const url = typeof location === 'string' ? URL.parse(location) : null;
  return typeof key === 'string' && key.startsWith(prefix) && url !== null ? { key, url } : undefined;
}

export function invalidAnswer(action: string, why: string): OcibuildError {
  return new OcibuildError('CACHE_RESPONSE_INVALID', `Cannot ${action}: ${why}`);
}
