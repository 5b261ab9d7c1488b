import { familiarName, normalName, parseReference, withDefaultTag } from '../image/reference.ts';
import type { Resolver } from '../registry/types.ts';
import { repositorySource, repositoryTarget } from '../transfer/repository.ts';
import { makeCacheDocuments, putCacheDocuments } from './cache-documents.ts';
import { readCaches } from './read-cache.ts';
import type { CacheExporter, CacheImporter } from './types.ts';

interface RegistryDeps {
  readonly registry: () => Promise<Resolver>;
}

/** A cache, or an image that holds one, in a registry. @throws REFERENCE_INVALID */
export function createRegistryImporter(text: string, { registry }: RegistryDeps): CacheImporter {
  const ref = withDefaultTag(parseReference(text));
  const name = familiarName(ref);
  return {
    name,
    async load(signal) {
      const resolver = await registry();
      const resolved = await resolver.resolve(ref, { signal });
      const from = repositorySource(resolver, ref, resolved);
      const origin = { type: 'registry', name: normalName(ref) } as const;
      return readCaches(resolved.descriptor, { name, from, origin, signal });
    },
  };
}

export interface RegistryCacheOptions {
  readonly ref: string;
  readonly imageManifest?: boolean;
  readonly ociMediaTypes?: boolean;
}

/**
 * Writes a cache under a tag of a repository; what was there before under that tag is replaced, once all is there.
 * @throws REFERENCE_INVALID
 */
export function createRegistryExporter(
  { ref: text, imageManifest = true, ociMediaTypes = true }: RegistryCacheOptions,
  { registry }: RegistryDeps,
): CacheExporter {
  const ref = withDefaultTag(parseReference(text));
  return {
    name: familiarName(ref),
    async write(config, options) {
      const documents = makeCacheDocuments(config, { imageManifest, ociMediaTypes });
      const { digest } = documents.top;
      const tags = ref.tag === undefined ? [] : [ref.tag];
      const to = repositoryTarget(await registry(), ref, { digest, tags });
      await putCacheDocuments(documents, to, options);
    },
  };
}
