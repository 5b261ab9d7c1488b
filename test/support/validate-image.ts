import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type Layout, openLayout } from '../../src/image/layout.ts';
import { documentKind, isImageConfig, parseConfig, parseDocument } from '../../src/image/manifest.ts';
import {
  ANNOTATION,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type Manifest,
  MEDIA_TYPE,
} from '../../src/image/types.ts';

/** One breach of the image-spec. */
export interface Problem {
  /** Part of the image-spec, e.g. `config.md §rootfs`. */
  readonly section: string;
  /** Where: `manifest sha256:…`, `layer 2`. */
  readonly where: string;
  readonly message: string;
}

type Report = (section: string, where: string, message: string) => void;

const UNPACKERS: Readonly<Record<string, (() => Transform) | 'plain'>> = {
  [MEDIA_TYPE.layerTar]: 'plain',
  [MEDIA_TYPE.layerGzip]: createGunzip,
  [MEDIA_TYPE.layerZstd]: createZstdDecompress,
  [MEDIA_TYPE.dockerLayerTar]: 'plain',
  [MEDIA_TYPE.dockerLayerGzip]: createGunzip,
};
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;
const REF_COMPONENT = '[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*';
const REF_NAME = new RegExp(`^${REF_COMPONENT}(?:/${REF_COMPONENT})*$`);
/** Keys that the image-spec defines; all others below its prefix are reserved. */
const SPEC_ANNOTATIONS: ReadonlySet<string> = new Set(
  'created authors url documentation source version revision vendor licenses ref.name title description base.digest base.name'
    .split(' ')
    .map((key) => `org.opencontainers.image.${key}`),
);
const BLOCK = 512;

/**
 * Reads an image in a layout directory and everything it leads to, and recomputes all that can be: digests, sizes,
 * diffIDs, counts. Meant for images that we made, so what the spec only recommends to writers counts too.
 * @param target a descriptor, or a tag; undefined: every entry of `index.json`.
 * @returns the problems; empty for an image that is right.
 */
export async function validateImage(
  dir: string,
  target: Descriptor | string | undefined,
  { signal }: { signal: AbortSignal },
): Promise<Problem[]> {
  const problems: Problem[] = [];
  const report: Report = (section, where, message) => void problems.push({ section, where, message });
  await attempt('image-layout.md', dir, report, async () => {
    const layout = await openLayout(dir);
    const { manifests } = await layout.readIndex();
    for (const entry of manifests)
      checkAnnotations(entry.annotations, `index.json entry ${entry.digest}`, report);
    const wanted =
      target === undefined
        ? manifests
        : [typeof target === 'string' ? await layout.resolve({ tag: target }) : target];
    for (const descriptor of wanted) await checkDocument(layout, descriptor, report, signal);
  });
  return problems;
}

async function checkDocument(
  layout: Layout,
  descriptor: Descriptor,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const kind = documentKind(descriptor.mediaType);
  const where = `${kind ?? 'artifact'} ${descriptor.digest}`;
  signal.throwIfAborted();
  if (kind === undefined) {
    report(
      'image-index.md',
      where,
      `media type "${descriptor.mediaType}" is neither a manifest nor an index`,
    );
    return;
  }
  await attempt(kind === 'index' ? 'image-index.md' : 'manifest.md', where, report, async () => {
    const document = parseDocument(await layout.readBlob(descriptor, { signal }), descriptor.mediaType);
    if (document.kind === 'manifest') {
      if (document.manifest.mediaType === undefined)
        report('manifest.md §mediaType', where, 'mediaType is missing');
      checkAnnotations(document.manifest.annotations, where, report);
      await checkManifest(layout, { descriptor, manifest: document.manifest }, report, signal);
      return;
    }
    checkAnnotations(document.index.annotations, where, report);
    for (const entry of document.index.manifests) {
      checkAnnotations(entry.annotations, `${where} entry ${entry.digest}`, report);
      await checkDocument(layout, entry, report, signal);
    }
  });
}

async function checkManifest(
  layout: Layout,
  { descriptor, manifest }: { descriptor: Descriptor; manifest: Manifest },
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const where = `manifest ${descriptor.digest}`;
  const isImage = isImageConfig(manifest.config.mediaType);
  let config: ImageConfig | undefined;
  await attempt('config.md', `config ${manifest.config.digest}`, report, async () => {
    const bytes = await layout.readBlob(manifest.config, { signal });
    if (isImage) config = parseConfig(bytes);
  });
  if (config !== undefined) checkConfig(config, { descriptor, manifest }, report);
  for (const [index, layer] of manifest.layers.entries()) {
    checkAnnotations(layer.annotations, `${where} layer ${index}`, report);
    if (isImage)
      await checkLayer(layout, { layer, index, diffId: config?.rootfs.diff_ids[index] }, report, signal);
    else await checkBlob(layout, layer, `${where} layer ${index}`, report, signal);
  }
}

function checkConfig(
  config: ImageConfig,
  { descriptor, manifest }: { descriptor: Descriptor; manifest: Manifest },
  report: Report,
): void {
  const where = `config ${manifest.config.digest}`;
  const diffIds = config.rootfs.diff_ids.length;
  if (diffIds !== manifest.layers.length) {
    report(
      'config.md §rootfs',
      where,
      `${diffIds} diff_ids, but the manifest has ${manifest.layers.length} layers`,
    );
  }
  const { history = [] } = config;
  const inHistory = history.filter((entry) => entry.empty_layer !== true).length;
  // An image without any history is fine.
  if (history.length > 0 && inHistory !== diffIds) {
    report(
      'config.md §history',
      where,
      `history has ${inHistory} entries with a layer, rootfs.diff_ids has ${diffIds}`,
    );
  }
  const times = [config.created, ...history.map((entry) => entry.created)];
  for (const time of times) {
    if (time !== undefined && !RFC3339.test(time))
      report('config.md §created', where, `"${time}" is not RFC 3339`);
  }
  for (const entry of config.config?.Env ?? []) {
    if (!/^[^=]+=/.test(entry)) report('config.md §Env', where, `"${entry}" is not NAME=VALUE`);
  }
  for (const port of Object.keys(config.config?.ExposedPorts ?? {})) {
    if (!/^\d+(\/(tcp|udp|sctp))?$/.test(port))
      report('config.md §ExposedPorts', where, `"${port}" is not a port`);
  }
  const { platform } = descriptor;
  if (platform && (platform.os !== config.os || platform.architecture !== config.architecture)) {
    const told = `${platform.os}/${platform.architecture}`;
    report(
      'image-index.md §platform',
      where,
      `is ${config.os}/${config.architecture}, its descriptor says ${told}`,
    );
  }
}

async function checkLayer(
  layout: Layout,
  { layer, index, diffId }: { layer: Descriptor; index: number; diffId: Digest | undefined },
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const where = `layer ${index}`;
  const unpacker = UNPACKERS[layer.mediaType];
  if (unpacker === undefined) report('layer.md', where, `media type "${layer.mediaType}" is not a layer's`);
  if (!(await checkBlob(layout, layer, where, report, signal)) || unpacker === undefined) return;
  await attempt('layer.md', where, report, async () => {
    const hash = createHash('sha256');
    let size = 0;
    let tail = Buffer.alloc(0);
    const digestTar = async (source: AsyncIterable<Buffer>): Promise<void> => {
      for await (const chunk of source) {
        hash.update(chunk);
        size += chunk.length;
        tail = Buffer.concat([tail, chunk.subarray(-2 * BLOCK)]).subarray(-2 * BLOCK);
      }
    };
    const blob: Readable = createReadStream(layout.blobPath(layer.digest));
    if (unpacker === 'plain') await pipeline(blob, digestTar, { signal });
    else await pipeline(blob, unpacker(), digestTar, { signal });
    const actual = `sha256:${hash.digest('hex')}`;
    if (diffId !== undefined && actual !== diffId) {
      report('config.md §rootfs', where, `diff_id is "${diffId}", its tar has digest "${actual}"`);
    }
    if (size % BLOCK !== 0 || tail.length < 2 * BLOCK || tail.some((byte) => byte !== 0)) {
      report('layer.md', where, 'the tar does not end with two zero blocks');
    }
  });
}

/** True when the blob is there with the right size and digest. */
async function checkBlob(
  layout: Layout,
  { digest, size }: Descriptor,
  where: string,
  report: Report,
  signal: AbortSignal,
): Promise<boolean> {
  const path = layout.blobPath(digest);
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) {
    report('image-layout.md §Blobs', where, `blob "${digest}" is missing`);
    return false;
  }
  if (stats.size !== size) report('descriptor.md', where, `size is ${size} B, the blob has ${stats.size} B`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal });
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest)
    report('descriptor.md §Digests', where, `digest is "${digest}", the blob has "${actual}"`);
  return stats.size === size && actual === digest;
}

function checkAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  where: string,
  report: Report,
): void {
  for (const [key, value] of Object.entries(annotations ?? {})) {
    if (key === '') report('annotations.md §Rules', where, 'an annotation has no key');
    if (key.startsWith('org.opencontainers.') && !SPEC_ANNOTATIONS.has(key)) {
      report('annotations.md §Rules', where, `"${key}" is reserved by the image-spec`);
    }
    if (key === ANNOTATION.refName && !REF_NAME.test(value)) {
      report('annotations.md §Pre-Defined Annotation Keys', where, `ref.name is "${value}"`);
    }
    if (key === ANNOTATION.created && !RFC3339.test(value)) {
      report(
        'annotations.md §Pre-Defined Annotation Keys',
        where,
        `created is "${value}", expected RFC 3339`,
      );
    }
  }
}

/** A document that cannot be read is one problem, and no reason to stop checking the others. */
async function attempt(
  section: string,
  where: string,
  report: Report,
  check: () => Promise<void>,
): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') throw error;
    report(section, where, error instanceof Error ? error.message : String(error));
  }
}
