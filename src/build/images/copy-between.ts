import { resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { indexEntries } from '../../exporter/image-writer.ts';
import { openLayout } from '../../image/layout.ts';
import type { ImageFormat } from '../../image/media-types.ts';
import { familiarName, normalName, parseReference, withDefaultTag } from '../../image/reference.ts';
import { ANNOTATION, type Descriptor, type Digest } from '../../image/types.ts';
import type { Resolver } from '../../registry/types.ts';
import { openArchive } from '../../transfer/archive-file.ts';
import { findInArchive, layoutArchiveSource } from '../../transfer/archive-source.ts';
import { archiveTarget } from '../../transfer/archive-target.ts';
import { choosePlatform, onlyImage } from '../../transfer/choose-platform.ts';
import { convertImage } from '../../transfer/convert-image.ts';
import { copyImage } from '../../transfer/copy-image.ts';
import { copyWithReferrers } from '../../transfer/copy-referrers.ts';
import { openDockerArchive } from '../../transfer/docker-archive.ts';
import { layoutSource } from '../../transfer/layout-source.ts';
import { layoutTarget } from '../../transfer/layout-target.ts';
import { type ImageLocation, parseLocation } from '../../transfer/location.ts';
import { repositorySource, repositoryTarget } from '../../transfer/repository.ts';
import type { ContentSource, ImageTarget } from '../../transfer/types.ts';
import { type Engine, type EngineOptions, openEngine } from '../engine.ts';
import type { TransferOptions } from './image-commands.ts';
import { storeContent, storeTarget } from './store-content.ts';
import { findTop } from './stored-image.ts';

export interface CopyBetweenOptions extends TransferOptions {
  /** Media types to convert to. @default those that the source has */
  readonly format?: ImageFormat;
  /** Paths are relative to it. */
  readonly cwd: string;
  /** Where an archive named `-` goes. */
  readonly stdout?: NodeJS.WritableStream;
}

interface Places {
  readonly options: CopyBetweenOptions;
  /** Opened only for copies from or to it. */
  readonly engine: () => Promise<Engine>;
  readonly registry: () => Promise<Resolver>;
  readonly stack: AsyncDisposableStack;
}

interface Found {
  readonly top: Descriptor;
  readonly content: ContentSource;
}

/**
 * Copies an image, or an index with everything below it, from one place to another: byte for byte, but for what
 * `format` changes.
 * @throws USAGE_INVALID, IMAGE_*, ARCHIVE_INVALID, LAYOUT_INVALID, BLOB_*, EXPORT_*, REGISTRY_*
 */
export async function copyBetween(
  root: string,
  { from, to }: { readonly from: string; readonly to: string },
  options: CopyBetweenOptions,
): Promise<{ readonly digest: Digest }> {
  const { signal, platform, format } = options;
  const [source, target] = [parseLocation(from), parseLocation(to)];
  checkTarget(target, to);
  await using stack = new AsyncDisposableStack();
  const access = target.type === 'store' ? 'make' : 'look';
  const places = openPlaces({ root, access, ...options }, stack);
  const found = await findImage(source, places);
  const all =
    target.type === 'docker-archive' ? await onlyImage(found.top, found.content, signal) : found.top;
  const chosen =
    platform === undefined ? all : await choosePlatform(found.top, found.content, { platform, signal });
  const { top, from: content } =
    format === undefined
      ? { top: chosen, from: found.content }
      : await convertImage(chosen, { from: found.content, format, signal });
  let referrers: readonly Descriptor[] = [];
  const write = await targetFor(target, places, { origin: originOf(source), referrers: () => referrers });
  const { onEvent } = options;
  // The store and Docker archives have no place for what only refers to an image.
  const holdsReferrers = target.type === 'docker' || target.type === 'oci' || target.type === 'oci-archive';
  await write(top, async (into) => {
    const between = { from: content, to: into };
    const how = { signal, ...(onEvent === undefined ? {} : { onEvent }) };
    if (holdsReferrers) referrers = await copyWithReferrers(top, between, how);
    else await copyImage(top, between, how);
  });
  return { digest: top.digest };
}

/** What an image is called is its own digest, whatever a target asks for. */
function checkTarget(target: ImageLocation, text: string): void {
  const digest = 'ref' in target ? target.ref?.digest : 'digest' in target ? target.digest : undefined;
  const isStored = target.type === 'store' && parseReference(target.name).digest !== undefined;
  if (digest === undefined && !isStored) return;
  throw new OcibuildError('USAGE_INVALID', `Cannot copy to "${text}": a target has a tag, and no digest`);
}

function openPlaces(
  options: CopyBetweenOptions & Pick<EngineOptions, 'root' | 'access'>,
  stack: AsyncDisposableStack,
): Places {
  let opened: Promise<Engine> | undefined;
  let resolver: Promise<Resolver> | undefined;
  return {
    options,
    stack,
    engine() {
      opened ??= openEngine(options).then((engine) => stack.use(engine));
      return opened;
    },
    registry() {
      resolver ??= import('../../registry/resolver.ts').then(({ createResolver }) =>
        createResolver({ env: options.env }),
      );
      return resolver;
    },
  };
}

function originOf(source: ImageLocation): string | undefined {
  return source.type === 'docker' ? `${source.ref.registry}/${source.ref.repository}` : undefined;
}

async function findImage(source: ImageLocation, places: Places): Promise<Found> {
  const { options, stack } = places;
  const { signal, cwd, env } = options;
  const archive = async (path: string) => {
    const tempDir = env.TMPDIR || '/var/tmp';
    return stack.use(await openArchive(path === '-' ? path : resolve(cwd, path), { tempDir, signal }));
  };
  switch (source.type) {
    case 'docker': {
      const registry = await places.registry();
      const resolved = await registry.resolve(source.ref, { signal });
      return { top: resolved.descriptor, content: repositorySource(registry, source.ref, resolved) };
    }
    case 'store': {
      const engine = await places.engine();
      return { top: findTop(engine, source.name), content: storeContent(engine) };
    }
    case 'oci': {
      const layout = await openLayout(resolve(cwd, source.path));
      return { top: await layout.resolve(source), content: layoutSource(layout) };
    }
    case 'oci-archive': {
      const opened = await archive(source.path);
      return { top: await findInArchive(opened, source), content: layoutArchiveSource(opened) };
    }
    case 'docker-archive':
      return openDockerArchive(await archive(source.path), { ref: source.ref, signal });
  }
}

interface TargetFacts {
  /** The repository that the image comes from. */
  readonly origin: string | undefined;
  /** What was copied besides the image; known when all is copied. */
  readonly referrers: () => readonly Descriptor[];
}

async function targetFor(
  target: ImageLocation,
  places: Places,
  { origin, referrers }: TargetFacts,
): Promise<ImageTarget> {
  const entries = (tag: { readonly tag?: string }) => (top: Descriptor) => [named(top, tag), ...referrers()];
  const { signal, cwd, stdout } = places.options;
  const file = (path: string) => ({
    dest: path === '-' ? path : resolve(cwd, path),
    ...(stdout === undefined ? {} : { stdout }),
  });
  switch (target.type) {
    case 'docker': {
      const registry = await places.registry();
      const { ref } = target;
      const tags = ref.tag === undefined ? [] : [ref.tag];
      return (top, fill) => fill(repositoryTarget(registry, ref, { digest: top.digest, tags }));
    }
    case 'store': {
      const name = familiarName(withDefaultTag(parseReference(target.name)));
      return storeTarget(await places.engine(), { name, origin, signal });
    }
    case 'oci':
      return layoutTarget(resolve(cwd, target.path), { entries: entries(target), signal });
    case 'oci-archive':
      return archiveTarget(file(target.path), { entries: entries(target), signal });
    case 'docker-archive': {
      const { ref } = target;
      const names = ref === undefined ? [] : [ref];
      return archiveTarget(file(target.path), {
        entries: (top) => indexEntries(named(top, {}), names.map(normalName), undefined),
        docker: { names: names.map(familiarName) },
        signal,
      });
    }
  }
}

/** An entry for index.json: the names that it had elsewhere are not its names here. */
function named(top: Descriptor, { tag }: { readonly tag?: string }): Descriptor {
  const { annotations: before = {}, ...descriptor } = top;
  const { [ANNOTATION.refName]: _, [ANNOTATION.containerdName]: __, ...kept } = before;
  const annotations = {
    ...kept,
    ...(tag === undefined ? {} : { [ANNOTATION.refName]: tag }),
    // Docker and containerd take the other name for a tag.
    ...(tag?.includes(':') ? { [ANNOTATION.containerdName]: normalName(parseReference(tag)) } : {}),
  };
  return Object.keys(annotations).length === 0 ? descriptor : { ...descriptor, annotations };
}
