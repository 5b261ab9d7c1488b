import { OcibuildError } from '../errors/error.ts';
import { digestBytes } from '../image/digest.ts';
import { documentKind, encodeDocument, isImageConfig, parseDocument } from '../image/manifest.ts';
import { type ImageFormat, mediaTypeIn } from '../image/media-types.ts';
import type { Descriptor, Digest, Index, Manifest } from '../image/types.ts';
import type { ContentSource } from './types.ts';

export interface ConvertOptions {
  readonly from: ContentSource;
  readonly format: ImageFormat;
  readonly signal: AbortSignal;
}

/** Which image an attestation beside it in an index is about. */
const ABOUT = 'vnd.docker.reference.digest';
const MAX_DEPTH = 8;

/** What became of documents: old digest → new descriptor. */
type Renamed = Map<Digest, Descriptor>;

/** A document in its new form; undefined where it is left out. */
type Written = Pick<Descriptor, 'mediaType' | 'digest' | 'size'> | undefined;

/**
 * The same image with the media types of another family: layers and configs keep their bytes and digests, manifests and
 * indexes are written anew where a type changes. Docker's family knows neither annotations nor other artifacts, so they
 * are left out there.
 * @throws IMAGE_INVALID for what is no image and cannot be one for Docker
 */
export async function convertImage(
  top: Descriptor,
  options: ConvertOptions,
): Promise<{ readonly top: Descriptor; readonly from: ContentSource }> {
  const { from } = options;
  const made = new Map<Digest, Buffer>();
  const converted = await convert(top, options, {
    ...{ made, renamed: new Map(), known: new Map() },
    depth: 0,
  });
  if (converted === undefined) {
    throw new OcibuildError(
      'IMAGE_INVALID',
      `Cannot convert "${top.digest}" to Docker's media types: it is no image`,
    );
  }
  const readBytes: ContentSource['readBytes'] = async (descriptor, signal) =>
    made.get(descriptor.digest) ?? (await from.readBytes(descriptor, signal));
  return { top: converted, from: { readBytes, blob: (...asked) => from.blob(...asked) } };
}

interface Conversion {
  readonly made: Map<Digest, Buffer>;
  readonly renamed: Renamed;
  /** By type and digest: indexes that name one another many times over would take for ever. */
  readonly known: Map<string, Written>;
  readonly depth: number;
}

/** Undefined for what is left out. */
async function convert(
  descriptor: Descriptor,
  options: ConvertOptions,
  conversion: Conversion,
): Promise<Descriptor | undefined> {
  const { renamed, known } = conversion;
  const key = `${descriptor.mediaType} ${descriptor.digest}`;
  const written = known.has(key) ? known.get(key) : await write(descriptor, options, conversion);
  known.set(key, written);
  if (written === undefined) return undefined;
  const { annotations, artifactType, data: _, ...facts } = descriptor;
  const moved = movedAbout(annotations, renamed);
  const about = {
    ...(moved === undefined ? {} : { annotations: moved }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
  const converted = { ...facts, ...(options.format === 'docker' ? {} : about), ...written };
  renamed.set(descriptor.digest, converted);
  return converted;
}

async function write(
  descriptor: Descriptor,
  options: ConvertOptions,
  conversion: Conversion,
): Promise<Written> {
  const { from, format, signal } = options;
  const { made, renamed, depth } = conversion;
  if (depth > MAX_DEPTH) {
    throw new OcibuildError(
      'IMAGE_INVALID',
      `Cannot convert: indexes are nested more than ${MAX_DEPTH} deep`,
    );
  }
  const bytes = await from.readBytes(descriptor, signal);
  const document = parseDocument(bytes, descriptor.mediaType);
  const next =
    document.kind === 'index'
      ? await convertIndex(document.index, options, conversion)
      : convertManifest(document.manifest, format, renamed);
  if (next === undefined) return undefined;
  const mediaType = mediaTypeIn(format, document.mediaType) ?? document.mediaType;
  const isSame = next === 'same' && mediaType === document.mediaType;
  const content = next === 'same' ? (document.kind === 'index' ? document.index : document.manifest) : next;
  const written = isSame ? bytes : encodeDocument({ ...content, mediaType });
  const digest = digestBytes(written);
  made.set(digest, written);
  return { mediaType, digest, size: written.length };
}

async function convertIndex(
  index: Index,
  options: ConvertOptions,
  conversion: Conversion,
): Promise<Index | 'same'> {
  const { format } = options;
  const entries = new Map<Descriptor, Descriptor | undefined>();
  // Attestations name images by digest, so these come first.
  const isAbout = (entry: Descriptor): boolean => entry.annotations?.[ABOUT] !== undefined;
  for (const entry of index.manifests.toSorted((a, b) => Number(isAbout(a)) - Number(isAbout(b)))) {
    const isDocument = documentKind(entry.mediaType) !== undefined;
    const kept = format === 'oci' ? entry : undefined;
    const below = { ...conversion, depth: conversion.depth + 1 };
    entries.set(entry, isDocument ? await convert(entry, options, below) : kept);
  }
  if (index.manifests.every((entry) => entries.get(entry)?.digest === entry.digest)) return 'same';
  const manifests = index.manifests.flatMap((entry) => entries.get(entry) ?? []);
  return format === 'docker' ? { ...DOCKER_HEAD, manifests } : { ...index, manifests };
}

/** The first two fields, in the order that others write them in; the type is set when it is known. */
const DOCKER_HEAD = { schemaVersion: 2, mediaType: '' } as const;

function convertManifest(
  manifest: Manifest,
  format: ImageFormat,
  renamed: Renamed,
): Manifest | 'same' | undefined {
  const { config, layers, subject } = manifest;
  const parts = [config, ...layers];
  const isImage =
    isImageConfig(config.mediaType) &&
    parts.every(({ mediaType }) => mediaTypeIn(format, mediaType) !== undefined);
  if (!isImage && format === 'docker') return undefined;
  const moved = subject === undefined ? undefined : renamed.get(subject.digest);
  const isMoved = moved !== undefined && moved.digest !== subject?.digest;
  const typeOf = (part: Descriptor): string => mediaTypeIn(format, part.mediaType) ?? part.mediaType;
  if (!isMoved && parts.every((part) => typeOf(part) === part.mediaType)) return 'same';
  if (format === 'docker') {
    const typed = (part: Descriptor): Descriptor => ({ ...bare(part), mediaType: typeOf(part) });
    return { ...DOCKER_HEAD, config: typed(config), layers: layers.map(typed) };
  }
  const typed = (part: Descriptor): Descriptor => ({ ...part, mediaType: typeOf(part) });
  return {
    ...{ schemaVersion: 2, mediaType: '' },
    ...manifest,
    ...{ config: typed(config), layers: layers.map(typed) },
    ...(isMoved ? { subject: { ...subject, ...bare(moved) } } : {}),
  };
}

function bare({ mediaType, digest, size, urls }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(urls === undefined ? {} : { urls }) };
}

function movedAbout(annotations: Descriptor['annotations'], renamed: Renamed): Descriptor['annotations'] {
  const about = renamed.get(annotations?.[ABOUT] as Digest);
  return about === undefined ? annotations : { ...annotations, [ABOUT]: about.digest };
}
