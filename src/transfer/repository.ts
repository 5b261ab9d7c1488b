import type { Reference } from '../image/reference.ts';
import type { Resolver } from '../registry/types.ts';
import type { ContentTarget } from './types.ts';

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
