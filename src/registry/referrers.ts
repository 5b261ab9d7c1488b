import { OcibuildError } from '../errors/error.ts';
import type { HttpResponse } from '../http/transport.ts';
import { digestBytes } from '../image/digest.ts';
import { encodeDocument, MAX_DOCUMENT_BYTES, parseDocument } from '../image/manifest.ts';
import type { Reference } from '../image/reference.ts';
import { type Descriptor, type Digest, type Index, MEDIA_TYPE } from '../image/types.ts';
import { protocolError, type RegistryCall, type RegistryClient } from './client.ts';
import { readBody } from './response-error.ts';

interface Asked {
  readonly ref: Reference;
  readonly digest: Digest;
  readonly signal: AbortSignal;
}

/** A page holds what fits into 4 MiB: more of them than that is no honest list. */
const MAX_PAGES = 100;

/**
 * What refers to a manifest: signatures, attestations and other artifacts whose `subject` it is.
 * @see distribution-spec §Listing Referrers, §Unavailable Referrers API
 */
export async function listReferrers(client: RegistryClient, asked: Asked): Promise<readonly Descriptor[]> {
  const { ref, digest, signal } = asked;
  const found: Descriptor[] = [];
  let path: string | URL | undefined = `referrers/${digest}`;
  for (let page = 0; path !== undefined && page < MAX_PAGES; page++) {
    const headers = { accept: MEDIA_TYPE.index };
    const call: RegistryCall = { ref, method: 'GET', path, headers, signal };
    // Registries without the API answer in many ways, some with a page for people.
    const accepts = page === 0 ? [400, 404, 405, 501] : [];
    const answer: { index: Index; next: URL | undefined } | undefined = await client.call(
      { ...call, accepts },
      async (response) => {
        const isIndex = response.headers['content-type']?.startsWith(MEDIA_TYPE.index) === true;
        if (response.status === 200 && isIndex) {
          return { index: await readIndex(ref, response), next: nextPage(response) };
        }
        response.body.resume();
        return undefined;
      },
    );
    if (answer === undefined) return (await readTag(client, asked)).manifests;
    found.push(...answer.index.manifests);
    path = answer.next;
  }
  return found;
}

/**
 * Makes an artifact known in a registry that has no list of referrers: in the index under the tag that stands for it.
 * @see distribution-spec §Pushing Manifests with Subject
 */
export async function addReferrer(client: RegistryClient, asked: Asked, referrer: Descriptor): Promise<void> {
  const before = await readTag(client, asked);
  if (before.manifests.some(({ digest }) => digest === referrer.digest)) return;
  const bytes = encodeDocument({ ...before, manifests: [...before.manifests, referrer] });
  const { ref, digest, signal } = asked;
  await client.call(
    {
      ref,
      method: 'PUT',
      path: `manifests/${tagOf(digest)}`,
      headers: { 'content-type': MEDIA_TYPE.index, 'content-length': String(bytes.length) },
      body: () => bytes,
      actions: 'pull,push',
      signal,
    },
    async ({ body }) => void body.resume(),
  );
}

/** What a manifest with a subject is listed as; undefined for one without. */
export function referrerOf(
  bytes: Uint8Array,
  mediaType: string,
): { readonly subject: Digest; readonly referrer: Descriptor } | undefined {
  // Almost none has one, and the largest take time to read.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('"subject"')) return undefined;
  const document = parseDocument(bytes, mediaType);
  const { subject, artifactType, annotations } =
    document.kind === 'index' ? document.index : document.manifest;
  if (subject === undefined) return undefined;
  const type =
    artifactType ?? (document.kind === 'manifest' ? document.manifest.config.mediaType : undefined);
  return {
    subject: subject.digest,
    referrer: {
      ...{ mediaType, digest: digestBytes(bytes), size: bytes.length },
      ...(type === undefined ? {} : { artifactType: type }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  };
}

async function readTag(client: RegistryClient, { ref, digest, signal }: Asked): Promise<Index> {
  const path = `manifests/${tagOf(digest)}`;
  const call = { ref, method: 'GET', path, headers: { accept: MEDIA_TYPE.index }, signal } as const;
  return client.call({ ...call, accepts: [404] }, async (response) => {
    if (response.status !== 404) return readIndex(ref, response);
    response.body.resume();
    return { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: [] };
  });
}

async function readIndex(ref: Reference, response: HttpResponse): Promise<Index> {
  const bytes = await readBody(response, MAX_DOCUMENT_BYTES);
  try {
    const document = parseDocument(bytes, MEDIA_TYPE.index);
    if (document.kind === 'index') return document.index;
  } catch (error) {
    if (!(error instanceof OcibuildError)) throw error;
    throw protocolError(ref, `its list of referrers is not an index: ${error.message}`);
  }
  throw protocolError(ref, 'its list of referrers is not an index');
}

function nextPage({ headers, url }: HttpResponse): URL | undefined {
  const [, target] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(headers.link ?? '')) ?? [];
  const next = target === undefined ? null : URL.parse(target, url);
  return next === null || next.host !== url.host ? undefined : next;
}

function tagOf(digest: Digest): string {
  return digest.replace(':', '-');
}
