import { throwIfAborted } from '../errors/error.ts';
import { didYouMean } from '../errors/suggest.ts';
import { MAX_DOCUMENT_BYTES } from '../image/manifest.ts';
import type { Reference } from '../image/reference.ts';
import type { RegistryClient } from './client.ts';
import { readBody } from './response-error.ts';

/** More are not looked through for a hint. */
const MAX_TAGS = 1000;
const SHOWN_TAGS = 5;

/** What to ask for in place of a tag that a repository lacks; undefined where the registry does not tell. */
export async function hintOfTags(
  client: RegistryClient,
  ref: Reference,
  signal: AbortSignal,
): Promise<string | undefined> {
  const tags = await listTags(client, ref, signal);
  if (tags === undefined) return undefined;
  if (tags.length === 0) return `the registry has no repository "${ref.repository}", or nothing in it`;
  const others = `tags there are ${tags.slice(-SHOWN_TAGS).join(', ')}`;
  return (
    didYouMean(ref.tag ?? '', tags) ?? (tags.length > SHOWN_TAGS ? `among the ${others}` : `the ${others}`)
  );
}

/** @see distribution-spec §Listing Tags */
async function listTags(
  client: RegistryClient,
  ref: Reference,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const path = `tags/list?n=${MAX_TAGS}`;
  try {
    return await client.call(
      { ref, method: 'GET', path, accepts: [404], once: true, signal },
      async (response) => {
        const bytes = await readBody(response, MAX_DOCUMENT_BYTES);
        if (response.status === 404) return [];
        const { tags } = JSON.parse(bytes.toString()) as { tags?: unknown };
        const isTag = (tag: unknown): tag is string =>
          typeof tag === 'string' && /^\w[\w.-]{0,127}$/.test(tag);
        return Array.isArray(tags) ? tags.filter(isTag) : undefined;
      },
    );
  } catch {
    // The fault that led here is what counts.
    throwIfAborted(signal);
    return undefined;
  }
}
