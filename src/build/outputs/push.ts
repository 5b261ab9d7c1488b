import { normalName, parseReference, type Reference } from '../../image/reference.ts';
import type { Descriptor } from '../../image/types.ts';
import type { Resolver } from '../../registry/types.ts';
import { copyImage } from '../../transfer/copy-image.ts';
import { repositoryTarget } from '../../transfer/repository.ts';
import type { TransferEvent } from '../../transfer/types.ts';
import type { Engine } from '../engine.ts';
import { storeContent } from '../images/store-content.ts';

export interface PushOptions {
  /** Normalised. */
  readonly names: readonly string[];
  readonly byDigest: boolean;
  /** Of registries whose certificates are not checked, or that have none. */
  readonly insecure: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly onEvent: (event: TransferEvent) => void;
  readonly onPushed: (name: string) => void;
}

/**
 * Pushes an image or index, whose documents are in the store, to all its names: each repository gets every blob once,
 * and the tags last.
 * @throws REGISTRY_*
 */
export async function pushEverywhere(engine: Engine, top: Descriptor, options: PushOptions): Promise<void> {
  const { names, byDigest, signal, onEvent, onPushed } = options;
  const repositories = new Map<string, { readonly ref: Reference; readonly tags: string[] }>();
  for (const name of names) {
    const ref = parseReference(name);
    const key = `${ref.registry}/${ref.repository}`;
    const known = repositories.get(key) ?? { ref, tags: [] };
    if (ref.tag !== undefined && !byDigest) known.tags.push(ref.tag);
    repositories.set(key, known);
  }
  const registries = [...new Set([...repositories.values()].map(({ ref }) => ref.registry))];
  const resolver = options.insecure ? await insecureResolver(registries, options) : await engine.registry();
  for (const { ref, tags } of repositories.values()) {
    const to = repositoryTarget(resolver, ref, { digest: top.digest, tags });
    await copyImage(top, { from: storeContent(engine), to }, { signal, onEvent });
    const { registry, repository } = ref;
    if (tags.length === 0) onPushed(normalName({ registry, repository, digest: top.digest }));
    for (const tag of tags) onPushed(normalName({ registry, repository, tag }));
  }
}

async function insecureResolver(
  registries: readonly string[],
  { env, signal }: Pick<PushOptions, 'env' | 'signal'>,
): Promise<Resolver> {
  const [{ insecureOptions }, { createResolver }] = await Promise.all([
    import('../../registry/insecure.ts'),
    import('../../registry/resolver.ts'),
  ]);
  return createResolver({ env, ...(await insecureOptions(registries, signal)) });
}
