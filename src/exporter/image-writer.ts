import { OcibuildError } from '../errors/error.ts';
import { digestBytes } from '../image/digest.ts';
import { encodeConfig, encodeDocument } from '../image/manifest.ts';
import { type ImageFormat, mediaTypeIn } from '../image/media-types.ts';
import { parseReference, withDefaultTag } from '../image/reference.ts';
import {
  ANNOTATION,
  BLOB_ANNOTATIONS,
  type Descriptor,
  type ImageConfig,
  type Manifest,
  MEDIA_TYPE,
  type Platform,
} from '../image/types.ts';
import type { ExportAttestation, ExportImage, ExportSet } from './types.ts';

/** What an image is made of. `config` is final: `rootfs.diff_ids` and `history` agree with the layers. */
export interface ImageParts {
  /** Base first. */
  readonly layers: readonly Descriptor[];
  readonly config: ImageConfig;
  /** Annotations of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Annotations of the manifest's descriptor. */
  readonly descriptorAnnotations?: Readonly<Record<string, string>>;
  /** What the image was built for. @default what its config says */
  readonly platform?: Platform;
  /** Whose media types the documents have. @default oci */
  readonly format?: ImageFormat;
}

/** The documents of an image, ready to be stored. */
export type AssembledImage = Pick<
  ExportImage,
  'manifest' | 'manifestBytes' | 'configDescriptor' | 'configBytes' | 'config' | 'platform'
>;

/**
 * Makes config and manifest bytes; equal parts give equal bytes.
 * @throws IMAGE_INVALID when layers, diffIDs and history do not agree
 * @see image-spec manifest.md, config.md
 */
export function assembleImage(parts: ImageParts): AssembledImage {
  const { layers, config: given, format = 'oci' } = parts;
  const config = withWholeHistory(layers, given);
  const configBytes = encodeConfig(config);
  const configDescriptor: Descriptor = {
    mediaType: typeIn(format, MEDIA_TYPE.config),
    digest: digestBytes(configBytes),
    size: configBytes.length,
  };
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: typeIn(format, MEDIA_TYPE.manifest),
    config: configDescriptor,
    layers: layers.map((layer) => bareDescriptor(layer, format)),
    ...annotated(parts.annotations),
  };
  const manifestBytes = encodeDocument(manifest);
  const platform = parts.platform ?? platformOf(config);
  return {
    manifest: {
      mediaType: typeIn(format, MEDIA_TYPE.manifest),
      digest: digestBytes(manifestBytes),
      size: manifestBytes.length,
      ...annotated(parts.descriptorAnnotations),
      platform,
    },
    manifestBytes,
    configDescriptor,
    configBytes,
    config,
    platform,
  };
}

/** What an index has beside images. */
export interface IndexParts {
  /** Annotations of the index. */
  readonly index?: Readonly<Record<string, string>>;
  /** Annotations of its descriptor. */
  readonly descriptor?: Readonly<Record<string, string>>;
  readonly attestations?: readonly ExportAttestation[];
  /** Whose media types. @default oci */
  readonly format?: ImageFormat;
}

/**
 * Makes an index over images, in their order.
 * @see image-spec image-index.md
 */
export function assembleIndex(
  images: readonly ExportImage[],
  { format = 'oci', attestations = [], ...annotations }: IndexParts = {},
): Required<ExportSet> {
  const index = encodeDocument({
    schemaVersion: 2,
    mediaType: typeIn(format, MEDIA_TYPE.index),
    manifests: [...images, ...attestations].map(({ manifest }) => manifest),
    ...annotated(annotations.index),
  });
  const top: Descriptor = {
    mediaType: typeIn(format, MEDIA_TYPE.index),
    digest: digestBytes(index),
    size: index.length,
    ...annotated(annotations.descriptor),
  };
  return { top, index, images, attestations };
}

/** Entries for an index.json: one for each name, or one without a name. `created` is RFC 3339.
 * @see image-spec annotations.md, image-layout.md §index.json */
export function indexEntries(
  top: Descriptor,
  names: readonly string[],
  created: string | undefined,
): Descriptor[] {
  const about = created === undefined ? {} : { [ANNOTATION.created]: created };
  if (names.length === 0) {
    return [
      created === undefined ? top : { ...top, annotations: sortedRecord({ ...top.annotations, ...about }) },
    ];
  }
  return names.map((name) => {
    const { tag } = withDefaultTag(parseReference(name));
    return {
      ...top,
      annotations: sortedRecord({
        ...top.annotations,
        ...about,
        [ANNOTATION.containerdName]: name,
        ...(tag === undefined ? {} : { [ANNOTATION.refName]: tag }),
      }),
    };
  });
}

/** RFC 3339 without a fraction; the newest image's own time where no epoch is set, so that equal images stay equal. */
export function createdOf({ images }: ExportSet, epochSec: number | undefined): string | undefined {
  if (epochSec !== undefined) return new Date(epochSec * 1000).toISOString().replace('.000Z', 'Z');
  const times = images.flatMap(({ config }) => config.created ?? []);
  return times.sort((a, b) => Date.parse(a) - Date.parse(b)).at(-1);
}

/** Some tools write base images with less history than layers; the missing lines can only be the oldest, for
 * what a build adds is complete. Without any history there is nothing to agree with. */
function withWholeHistory(layers: readonly Descriptor[], config: ImageConfig): ImageConfig {
  const { rootfs, history = [] } = config;
  const missing = layers.length - history.filter((entry) => entry.empty_layer !== true).length;
  if (rootfs.diff_ids.length !== layers.length || missing < 0) {
    throw new OcibuildError(
      'IMAGE_INVALID',
      `Cannot write the image: it has ${layers.length} layers, ${rootfs.diff_ids.length} diff_ids and ${layers.length - missing} history entries with a layer`,
    );
  }
  if (missing === 0 || history.length === 0) return config;
  return { ...config, history: [...Array.from({ length: missing }, () => ({})), ...history] };
}

/** Keeps what belongs to the layer wherever it is stored; a platform or an annotation of a source manifest's
 * descriptor does not, unless it is about the bytes. */
function bareDescriptor(layer: Descriptor, format: ImageFormat): Descriptor {
  const { mediaType, digest, size, urls, annotations } = layer;
  return {
    mediaType: typeIn(format, mediaType),
    ...{ digest, size },
    ...(urls === undefined ? {} : { urls }),
    ...(format === 'docker' ? {} : annotated(aboutBytes(annotations))),
  };
}

function aboutBytes(annotations: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => BLOB_ANNOTATIONS.includes(key)));
}

/** Layers of a base keep a media type that neither family knows. */
function typeIn(format: ImageFormat, mediaType: string): string {
  return mediaTypeIn(format, mediaType) ?? mediaType;
}

function platformOf(config: ImageConfig): Platform {
  const { os, architecture, variant } = config;
  const version = config['os.version'];
  const features = config['os.features'];
  return {
    architecture,
    os,
    ...(version === undefined ? {} : { 'os.version': version }),
    ...(features === undefined ? {} : { 'os.features': features }),
    ...(variant === undefined || variant === '' ? {} : { variant }),
  };
}

function annotated(record: Readonly<Record<string, string>> = {}): Pick<Descriptor, 'annotations'> {
  return Object.keys(record).length === 0 ? {} : { annotations: sortedRecord(record) };
}

/** The same entries by key, so that equal annotations are equal bytes. */
export function sortedRecord(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
