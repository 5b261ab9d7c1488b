import type { HttpResponse } from '../../http/transport.ts';
import { GHA_VERSION, type GhaPlace } from './gha-place.ts';
import { drained, entryOf, invalidAnswer, jsonBody, readJson } from './gha-service.ts';
import type { GhaJson, GhaSend, GhaService } from './types.ts';

/** The protocol of runners before 2025, and of GitHub Enterprise Server. @see actions/toolkit, packages/cache */
export function createGhaFirst({ url: base, token }: GhaPlace, send: GhaSend): GhaService {
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json;api-version=6.0-preview.1' };
  const at = (path: string): URL => new URL(`_apis/artifactcache/${path}`, base);
  const post = async (
    path: string,
    body: GhaJson,
    signal: AbortSignal,
    action: string,
  ): Promise<GhaJson | 'taken'> =>
    send(
      { method: 'POST', url: at(path), signal, ...jsonBody(headers, body) },
      { action, accepts: [409] },
      async (response) => (response.status === 409 ? taken(response) : readJson(response, action)),
    );
  return {
    async find(prefix, signal) {
      const url = at('cache');
      url.search = new URLSearchParams({ keys: prefix, version: GHA_VERSION }).toString();
      const action = `look for "${prefix}" in the GitHub cache`;
      const found = await send({ method: 'GET', url, headers, signal }, { action }, (r) =>
        readJson(r, action),
      );
      return entryOf(found.cacheKey, found.archiveLocation, prefix);
    },
    async reserve(key, size, signal) {
      const action = `write "${key}" to the GitHub cache`;
      const answer = await post('caches', { key, version: GHA_VERSION, cacheSize: size }, signal, action);
      if (answer === 'taken') return 'taken';
      const id = Number(answer.cacheId);
      if (!Number.isSafeInteger(id) || id <= 0) throw invalidAnswer(action, 'it gave no id');
      return {
        send({ offset, bytes }, partSignal) {
          if (bytes.length === 0) return Promise.resolve();
          const range = `bytes ${offset}-${offset + bytes.length - 1}/*`;
          const about = {
            'content-type': 'application/octet-stream',
            'content-range': range,
            'content-length': String(bytes.length),
          };
          const request = {
            method: 'PATCH',
            url: at(`caches/${id}`),
            body: bytes,
            signal: partSignal,
          } as const;
          return send({ ...request, headers: { ...headers, ...about } }, { action }, drained).then(
            () => undefined,
          );
        },
        async finish(total, finishSignal) {
          const done = await post(`caches/${id}`, { size: total.bytes }, finishSignal, action);
          if (done === 'taken') throw invalidAnswer(action, 'somebody else finished it');
        },
      };
    },
  };
}

async function taken({ body }: HttpResponse): Promise<'taken'> {
  body.resume();
  return 'taken';
}
