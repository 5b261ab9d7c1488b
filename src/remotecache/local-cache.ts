import { rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { parseDigest } from '../image/digest.ts';
import { openLayout } from '../image/layout.ts';
import { documentKind, MAX_DOCUMENT_BYTES, parseDocument } from '../image/manifest.ts';
import { ANNOTATION, type Descriptor } from '../image/types.ts';
import { layoutSource } from '../transfer/layout-source.ts';
import { layoutTarget } from '../transfer/layout-target.ts';
import { isBeingWritten } from '../transfer/layout-writers.ts';
import { makeCacheDocuments, putCacheDocuments } from './cache-documents.ts';
import { readCaches } from './read-cache.ts';
import type { CacheExporter, CacheImporter } from './types.ts';

const DEFAULT_TAG = 'latest';

export interface LocalImportOptions {
  /** A layout directory. */
  readonly src: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** A cache in an OCI layout directory. @throws REFERENCE_INVALID */
export function createLocalImporter(
  { src, tag = DEFAULT_TAG, digest: text }: LocalImportOptions,
  { cwd }: { readonly cwd: string },
): CacheImporter {
  const dir = resolve(cwd, src);
  const digest = text === undefined ? undefined : parseDigest(text);
  return {
    name: dir,
    async load(signal) {
      const layout = await openLayout(dir);
      const top = await layout.resolve(digest === undefined ? { tag } : { digest });
      const origin = { type: 'layout', dir } as const;
      return readCaches(top, { name: dir, from: layoutSource(layout), origin, signal });
    },
  };
}

export interface LocalExportOptions {
  /** A layout directory. */
  readonly dest: string;
  readonly tag?: string;
  readonly reset?: boolean;
  readonly imageManifest?: boolean;
  readonly ociMediaTypes?: boolean;
}

/** Writes a cache into an OCI layout directory, which may hold other caches and images. */
export function createLocalExporter(
  { dest, tag = DEFAULT_TAG, reset = false, imageManifest = true, ociMediaTypes = true }: LocalExportOptions,
  { cwd }: { readonly cwd: string },
): CacheExporter {
  const dir = resolve(cwd, dest);
  return {
    name: dir,
    async write(config, options) {
      const documents = makeCacheDocuments(config, { imageManifest, ociMediaTypes });
      const entries = (top: Descriptor): Descriptor[] => [
        { ...top, annotations: { [ANNOTATION.refName]: tag } },
      ];
      const target = layoutTarget(dir, { entries, signal: options.signal });
      await target(documents.top, (to) => putCacheDocuments(documents, to, options));
      if (reset) await dropUnused(dir);
    },
  };
}

/** Deletes blobs that no entry of the layout's index leads to; who writes at the same time may need them, and the next
 * export deletes what is left then. */
async function dropUnused(dir: string): Promise<void> {
  const layout = await openLayout(dir);
  const used = new Set<string>();
  const mark = async (descriptor: Descriptor): Promise<void> => {
    if (used.has(descriptor.digest)) return;
    used.add(descriptor.digest);
    if (documentKind(descriptor.mediaType) === undefined) return;
    const bytes = await layout.readBlob(descriptor, { maxBytes: MAX_DOCUMENT_BYTES });
    const document = parseDocument(bytes, descriptor.mediaType);
    const parts =
      document.kind === 'index'
        ? document.index.manifests
        : [document.manifest.config, ...document.manifest.layers];
    for (const part of parts) await mark(part);
  };
  try {
    for (const entry of (await layout.readIndex()).manifests) await mark(entry);
  } catch (cause) {
    throw new OcibuildError('CACHE_EXPORT_FAILED', `Cannot clear "${dir}": another entry of it is damaged`, {
      cause,
      hint: 'delete the directory and write the cache anew',
    });
  }
  for (const name of await readdir(join(dir, 'blobs', 'sha256'))) {
    // Asked each time: a writer says that it begins before it looks for its first blob.
    if (isBeingWritten(dir)) return;
    if (!used.has(`sha256:${name}`)) rmSync(join(dir, 'blobs', 'sha256', name), { force: true });
  }
}
