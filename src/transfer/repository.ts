import { Readable } from 'node:stream';
import type { Reference } from '../image/reference.ts';
import type { ResolvedManifest, Resolver } from '../registry/types.ts';
import type { ContentSource, ContentTarget } from './types.ts';

/** A repository of a registry as the source of a transfer. What `resolved` holds is not asked for again. */
export function repositorySource(
  resolver: Resolver,
  ref: Reference,
  resolved: ResolvedManifest,
): ContentSource {
  const fetcher = resolver.fetcher(ref);
  return {
    async readBytes(descriptor, signal) {
      if (descriptor.digest === resolved.descriptor.digest) return resolved.bytes;
      return fetcher.fetchBytes(descriptor, { signal });
    },
    blob: (descriptor, signal) => ({
      registry: ref.registry,
      async open(offset, length) {
        if (length === 0) return Readable.from([]);
        const stream = await fetcher.fetchBlob(descriptor, { signal, offset });
        return offset + length === descriptor.size ? stream : Readable.from(firstBytes(stream, length));
      },
      mountFrom: (registry) => (registry === ref.registry ? ref.repository : undefined),
    }),
    referrers: ({ digest }, signal) => resolver.referrers(ref, digest, { signal }),
  };
}

async function* firstBytes(stream: Readable, length: number): AsyncGenerator<Buffer> {
  let left = length;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/** A repository of a registry as the target of a transfer. The document `top` gets the tags, last of all. */
export function repositoryTarget(
  resolver: Resolver,
  ref: Reference,
  top: { readonly digest: string; readonly tags: readonly string[] },
): ContentTarget {
  const pusher = resolver.pusher(ref);
  return {
    async putBlob(descriptor, blob, { signal, onProgress }) {
      const mountFrom = blob.mountFrom(ref.registry);
      const done = await pusher.pushBlob(descriptor, blob.open, {
        ...{ signal, onProgress },
        ...(mountFrom === undefined || mountFrom === ref.repository ? {} : { mountFrom }),
      });
      return done === 'uploaded' ? 'copied' : done;
    },
    async putDocument(descriptor, bytes, signal) {
      if (descriptor.digest !== top.digest || top.tags.length === 0) {
        await pusher.pushManifest(descriptor, bytes, { signal });
        return;
      }
      for (const tag of top.tags) await pusher.pushManifest(descriptor, bytes, { signal, tag });
    },
  };
}
