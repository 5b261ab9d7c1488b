import type { BlobPart } from '../blob-parts.ts';
import { readText, toldBy } from '../service-error.ts';
import { GHA_VERSION, type GhaPlace } from './gha-place.ts';
import { drained, entryOf, invalidAnswer, jsonBody, readJson } from './gha-service.ts';
import type { GhaJson, GhaSend, GhaService } from './types.ts';

/** The protocol since 2025: Twirp calls, and Azure's storage behind signed addresses. @see actions/toolkit, packages/cache */
export function createGhaSecond({ url: base, token }: GhaPlace, send: GhaSend): GhaService {
  const headers = { authorization: `Bearer ${token}` };
  const call = (method: string, body: GhaJson, signal: AbortSignal, action: string): Promise<GhaJson> => {
    const url = new URL(`twirp/github.actions.results.api.v1.CacheService/${method}`, base);
    const request = { method: 'POST', url, signal, ...jsonBody(headers, body) } as const;
    return send(request, { action, accepts: [404, 409] }, async (response) => {
      if (response.status < 300) return readJson(response, action);
      // Twirp says 404 of an entry as well as of a method; only the first is an answer.
      const { code } = toldBy(await readText(response));
      if (response.status === 409 || code === 'not_found') return { ok: false };
      throw invalidAnswer(action, `"${base.host}" does not speak the second protocol`);
    });
  };
  return {
    async find(prefix, signal) {
      const action = `look for "${prefix}" in the GitHub cache`;
      const body = { key: prefix, restore_keys: [prefix], version: GHA_VERSION };
      const found = await call('GetCacheEntryDownloadURL', body, signal, action);
      return found.ok === true ? entryOf(found.matched_key, found.signed_download_url, prefix) : undefined;
    },
    async reserve(key, size, signal) {
      const action = `write "${key}" to the GitHub cache`;
      const answer = await call('CreateCacheEntry', { key, version: GHA_VERSION }, signal, action);
      if (answer.ok !== true) return 'taken';
      const url = typeof answer.signed_upload_url === 'string' ? URL.parse(answer.signed_upload_url) : null;
      if (url === null) throw invalidAnswer(action, 'it gave no address to upload to');
      return {
        send: (part, partSignal) =>
          putPart(send, { url, part, isWhole: part.bytes.length === size, action }, partSignal),
        async finish({ parts, bytes }, finishSignal) {
          // A blob that went whole is complete; blocks are nothing before they are listed.
          if (parts > 1) await putBlockList(send, { url, parts, action }, finishSignal);
          // proto3's JSON has 64-bit numbers as text.
          const about = { key, version: GHA_VERSION, size_bytes: String(bytes) };
          const done = await call('FinalizeCacheEntryUpload', about, finishSignal, action);
          if (done.ok !== true) throw invalidAnswer(action, 'it did not accept what was sent');
        },
      };
    },
  };
}

/** @see Azure Blob Storage REST API §Put Blob, §Put Block */
async function putPart(
  send: GhaSend,
  { url, part, isWhole, action }: { url: URL; part: BlobPart; isWhole: boolean; action: string },
  signal: AbortSignal,
): Promise<void> {
  const to = new URL(url);
  if (!isWhole) {
    to.searchParams.set('comp', 'block');
    to.searchParams.set('blockid', blockId(part.index));
  }
  const headers = {
    'content-length': String(part.bytes.length),
    'content-type': 'application/octet-stream',
    ...(isWhole ? { 'x-ms-blob-type': 'BlockBlob' } : {}),
  };
  await send({ method: 'PUT', url: to, headers, body: part.bytes, signal }, { action }, drained);
}

/** @see Azure Blob Storage REST API §Put Block List */
async function putBlockList(
  send: GhaSend,
  { url, parts, action }: { url: URL; parts: number; action: string },
  signal: AbortSignal,
): Promise<void> {
  const to = new URL(url);
  to.searchParams.set('comp', 'blocklist');
  const ids = Array.from({ length: parts }, (_, index) => `<Latest>${blockId(index)}</Latest>`);
  const body = Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.join('')}</BlockList>`);
  const headers = { 'content-length': String(body.length), 'content-type': 'application/xml' };
  await send({ method: 'PUT', url: to, headers, body, signal }, { action }, drained);
}

/** All ids of a blob have one length. */
function blockId(index: number): string {
  return Buffer.from(`ocibuild-${String(index).padStart(6, '0')}`).toString('base64');
}
