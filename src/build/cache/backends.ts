import type { Resolver } from '../../registry/types.ts';
import type { CacheExporter, CacheImporter } from '../../remotecache/types.ts';
import type { CacheFrom, CacheTo } from './types.ts';

/** What the places of caches are reached with. */
export interface BackendContext {
  readonly registry: () => Promise<Resolver>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths start here. */
  readonly cwd: string;
}

type Of<Option extends { readonly type: string }, Type> = Extract<Option, { readonly type: Type }>;
/** A cache inside of the image has no place of its own. */
export type PlacedCache = Exclude<CacheTo, { readonly type: 'inline' }>;

type Importers = {
  readonly [T in CacheFrom['type']]: (
    option: Of<CacheFrom, T>,
    context: BackendContext,
  ) => Promise<CacheImporter>;
};
type Exporters = {
  readonly [T in PlacedCache['type']]: (
    option: Of<PlacedCache, T>,
    context: BackendContext,
  ) => Promise<CacheExporter>;
};

/** One for each type; modules are loaded when their type is asked for. */
const IMPORTERS: Importers = {
  async registry({ ref }, { registry }) {
    const { createRegistryImporter } = await import('../../remotecache/registry-cache.ts');
    return createRegistryImporter(ref, { registry });
  },
  async local(option, { cwd }) {
    const { createLocalImporter } = await import('../../remotecache/local-cache.ts');
    return createLocalImporter(option, { cwd });
  },
  async s3(option, { env }) {
    const { createS3Importer } = await import('../../remotecache/s3/s3-cache.ts');
    return createS3Importer(option, { env });
  },
  async gha(option, { env }) {
    const { createGhaImporter } = await import('../../remotecache/gha/gha-cache.ts');
    return createGhaImporter(option, { env });
  },
};

const EXPORTERS: Exporters = {
  async registry(option, { registry }) {
    const { createRegistryExporter } = await import('../../remotecache/registry-cache.ts');
    return createRegistryExporter(option, { registry });
  },
  async local(option, { cwd }) {
    const { createLocalExporter } = await import('../../remotecache/local-cache.ts');
    return createLocalExporter(option, { cwd });
  },
  async s3(option, { env }) {
    const { createS3Exporter } = await import('../../remotecache/s3/s3-cache.ts');
    return createS3Exporter(option, { env });
  },
  async gha(option, { env }) {
    const { createGhaExporter } = await import('../../remotecache/gha/gha-cache.ts');
    return createGhaExporter(option, { env });
  },
};

/** @throws USAGE_INVALID, REFERENCE_INVALID */
export function openImporter(option: CacheFrom, context: BackendContext): Promise<CacheImporter> {
  const open = IMPORTERS[option.type] as (o: CacheFrom, c: BackendContext) => Promise<CacheImporter>;
  return open(option, context);
}

/** @throws USAGE_INVALID, REFERENCE_INVALID */
export function openExporter(option: PlacedCache, context: BackendContext): Promise<CacheExporter> {
  const open = EXPORTERS[option.type] as (o: PlacedCache, c: BackendContext) => Promise<CacheExporter>;
  return open(option, context);
}
