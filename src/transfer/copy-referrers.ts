import { documentKind, parseDocument } from '../image/manifest.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import { ANNOTATION } from '../image/types.ts';
import { type CopyOptions, copyImage } from './copy-image.ts';
import type { ContentSource, ContentTarget } from './types.ts';

/**
 * Copies an image as `copyImage` does, and what the source knows to refer to it or to something below it: signatures,
 * attestations, and what refers to these.
 * @returns the referrers, which nothing that was copied leads to
 */
export async function copyWithReferrers(
  top: Descriptor,
  places: { readonly from: ContentSource; readonly to: ContentTarget },
  { signal, onEvent }: CopyOptions,
): Promise<readonly Descriptor[]> {
  const copied: Descriptor[] = [];
  const seen = new Set<Digest>();
  const options: CopyOptions = {
    signal,
    onEvent(event) {
      const { descriptor, result } = event;
      onEvent?.(event);
      if (result === undefined || documentKind(descriptor.mediaType) === undefined) return;
      copied.push(descriptor);
      seen.add(descriptor.digest);
    },
  };
  await copyImage(top, places, options);
  const found: Descriptor[] = [];
  // Grows while it is walked: what was copied may be referred to.
  for (const document of copied) {
    for (const referrer of (await places.from.referrers?.(document, signal)) ?? []) {
      if (seen.has(referrer.digest) || documentKind(referrer.mediaType) === undefined) continue;
      await copyImage(referrer, places, options);
      found.push(referrer);
    }
  }
  return found;
}

/** Entries of an index.json that have no name and a subject: a layout has no other list of them. */
export function referrersAmong(
  entries: () => Promise<readonly Descriptor[]>,
  read: ContentSource['readBytes'],
): NonNullable<ContentSource['referrers']> {
  let known: Promise<Map<Digest, Descriptor[]>> | undefined;
  const readAll = async (signal: AbortSignal): Promise<Map<Digest, Descriptor[]>> => {
    const bySubject = new Map<Digest, Descriptor[]>();
    for (const entry of await entries()) {
      if (entry.annotations?.[ANNOTATION.refName] !== undefined) continue;
      if (documentKind(entry.mediaType) === undefined) continue;
      const document = parseDocument(await read(entry, signal), entry.mediaType);
      const { subject } = document.kind === 'index' ? document.index : document.manifest;
      if (subject === undefined) continue;
      bySubject.set(subject.digest, [...(bySubject.get(subject.digest) ?? []), entry]);
    }
    return bySubject;
  };
  return async ({ digest }, signal) => {
    known ??= readAll(signal);
    return (await known).get(digest) ?? [];
  };
}
