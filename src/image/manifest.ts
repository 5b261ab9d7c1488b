import { OcibuildError } from '../errors/error.ts';
import { isDigest } from './digest.ts';
import { type Descriptor, type ImageConfig, type Index, type Manifest, MEDIA_TYPE } from './types.ts';

/** A manifest or an index, told apart by its media type and its fields. */
export type ManifestDocument =
  | { readonly kind: 'manifest'; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly mediaType: string; readonly index: Index };

/** Manifests, indexes and configs are read whole; larger ones are refused. @see distribution-spec §Pushing Manifests */
export const MAX_DOCUMENT_BYTES: number = 4 * 1024 * 1024;

type Json = Readonly<Record<string, unknown>>;

const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPE.manifest, MEDIA_TYPE.dockerManifest];
const INDEX_TYPES: readonly string[] = [MEDIA_TYPE.index, MEDIA_TYPE.dockerIndex];
const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\b/;
/** Type and subtype of RFC 6838 §4.2, without parameters. */
const MEDIA_TYPE_GRAMMAR = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Whether a descriptor of this media type leads to a manifest (`image`) or to an index. */
export function documentKind(mediaType: string): 'manifest' | 'index' | undefined {
  if (MANIFEST_TYPES.includes(mediaType)) return 'manifest';
  return INDEX_TYPES.includes(mediaType) ? 'index' : undefined;
}

/** Whether a manifest with such a config is an image, which runs, and no other artifact. */
export function isImageConfig(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.config || mediaType === MEDIA_TYPE.dockerConfig;
}

/**
 * Reads an image manifest or an index, OCI or Docker schema 2; fields that are not known stay.
 * @param mediaType what the descriptor or Content-Type promised; a different `mediaType` inside is refused, so
 *   one document cannot be read as two things.
 * @throws IMAGE_INVALID
 * @see image-spec manifest.md, image-index.md
 */
export function parseDocument(bytes: Uint8Array, mediaType?: string): ManifestDocument {
  const what = mediaType !== undefined && INDEX_TYPES.includes(mediaType) ? 'index' : 'manifest';
  if (mediaType !== undefined && SCHEMA1.test(mediaType)) throw schema1();
  const json = parseObject(bytes, what);
  if (json.schemaVersion === 1) throw schema1();
  if (json.schemaVersion !== 2) {
    throw fault(what, `schemaVersion is ${JSON.stringify(json.schemaVersion)}, expected 2`);
  }
  const inner = json.mediaType;
  if (inner !== undefined && typeof inner !== 'string') throw fault(what, 'mediaType is not a text');
  if (inner !== undefined && mediaType !== undefined && inner !== mediaType) {
    throw fault(what, `mediaType is "${inner}", expected "${mediaType}"`);
  }
  const type = inner ?? mediaType ?? ('manifests' in json ? MEDIA_TYPE.index : MEDIA_TYPE.manifest);
  checkAnnotations(json, what);
  if (INDEX_TYPES.includes(type)) return { kind: 'index', mediaType: type, index: readIndex(json) };
  if (MANIFEST_TYPES.includes(type))
    return { kind: 'manifest', mediaType: type, manifest: readManifest(json) };
  throw fault(what, `media type "${type}" is neither an image manifest nor an index`);
}

/**
 * Reads an image config; fields that are not known stay.
 * @throws IMAGE_INVALID
 * @see image-spec config.md
 */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const json = parseObject(bytes, 'config');
  for (const name of ['architecture', 'os']) {
    if (typeof json[name] !== 'string') throw fault('config', `"${name}" is missing`);
  }
  const rootfs = json.rootfs;
  if (!isObject(rootfs)) throw fault('config', '"rootfs" is missing');
  if (rootfs.type !== 'layers') {
    throw fault('config', `rootfs.type is ${JSON.stringify(rootfs.type)}, expected "layers"`);
  }
  // Go writes an empty list as null.
  const diffIds: unknown = rootfs.diff_ids ?? [];
  if (!Array.isArray(diffIds)) throw fault('config', 'rootfs.diff_ids is not a list');
  const wrong: unknown = diffIds.find((diffId) => !isDigest(diffId));
  if (wrong !== undefined)
    throw fault('config', `rootfs.diff_ids holds ${JSON.stringify(wrong)}, which is no digest`);
  const { history, config } = json;
  if (history != null && !(Array.isArray(history) && history.every(isObject))) {
    throw fault('config', '"history" is not a list of objects');
  }
  if (config != null && !isObject(config)) throw fault('config', '"config" is not an object');
  return {
    ...withoutNulls(json),
    ...(config == null ? {} : { config: withoutNulls(config) }),
    rootfs: { ...rootfs, type: 'layers', diff_ids: diffIds },
  } as unknown as ImageConfig;
}

/** Go writes an absent list or map as null; for us absent is absent. */
function withoutNulls(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
}

/** The JSON text of a manifest or index that we make: two spaces, as BuildKit writes it. */
export function encodeDocument(document: Manifest | Index): Buffer {
  return Buffer.from(goEscape(JSON.stringify(document, undefined, 2)));
}

/** The JSON text of a config that we make: on one line, as BuildKit writes it. */
export function encodeConfig(config: ImageConfig): Buffer {
  return Buffer.from(goEscape(JSON.stringify(config)));
}

/** Go escapes these five in JSON; doing the same gives equal configs equal bytes. */
function goEscape(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function readManifest(json: Json): Manifest {
  // A document with the fields of both could be read as either, depending on who looks.
  if ('manifests' in json) throw fault('manifest', 'it has the field "manifests" of an index');
  const config = checkDescriptor(json.config, 'config', 'manifest');
  // Go writes an empty list as null.
  const layers: unknown = json.layers === null ? [] : json.layers;
  if (!Array.isArray(layers)) throw fault('manifest', '"layers" is missing');
  layers.forEach((layer, i) => {
    checkDescriptor(layer, `layers[${i}]`, 'manifest');
  });
  if (json.subject !== undefined) checkDescriptor(json.subject, 'subject', 'manifest');
  if (config.mediaType === MEDIA_TYPE.empty && !json.artifactType) {
    throw fault('manifest', 'an empty config needs an artifactType');
  }
  return { ...json, layers } as unknown as Manifest;
}

function readIndex(json: Json): Index {
  if ('layers' in json || 'config' in json)
    throw fault('index', 'it has the fields "config" or "layers" of a manifest');
  const manifests: unknown = json.manifests ?? [];
  if (!('manifests' in json) || !Array.isArray(manifests)) throw fault('index', '"manifests" is missing');
  manifests.forEach((entry, i) => {
    const { platform } = checkDescriptor(entry, `manifests[${i}]`, 'index');
    if (platform === undefined) return;
    if (!isObject(platform) || typeof platform.os !== 'string' || typeof platform.architecture !== 'string') {
      throw fault('index', `manifests[${i}].platform needs os and architecture`);
    }
  });
  return { ...json, manifests } as unknown as Index;
}

function checkDescriptor(value: unknown, path: string, what: string): Descriptor {
  if (!isObject(value)) throw fault(what, `"${path}" is missing`);
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== 'string' || !MEDIA_TYPE_GRAMMAR.test(mediaType)) {
    throw fault(what, `${path}.mediaType is ${JSON.stringify(mediaType)}, expected a media type`);
  }
  if (!isDigest(digest)) {
    throw fault(
      what,
      `${path}.digest is ${JSON.stringify(digest)}, expected "sha256:" and 64 lower-case hex digits`,
    );
  }
  if (!Number.isSafeInteger(size) || Number(size) < 0) {
    throw fault(what, `${path}.size is ${JSON.stringify(size)}, expected a number of bytes`);
  }
  checkAnnotations(value, `${what} ${path}`);
  return value as unknown as Descriptor;
}

function checkAnnotations(json: Json, what: string): void {
  const annotations = json.annotations;
  if (annotations == null) return;
  if (!isObject(annotations) || Object.values(annotations).some((text) => typeof text !== 'string')) {
    throw fault(what, 'annotations are not all texts');
  }
}

function parseObject(bytes: Uint8Array, what: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw fault(what, 'it is not JSON', cause);
  }
  if (!isObject(json)) throw fault(what, 'it is not a JSON object');
  return json;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function schema1(): OcibuildError {
  return new OcibuildError('IMAGE_INVALID', 'Cannot read manifest: it is Docker image manifest schema 1', {
    hint: 'push the image again with a Docker newer than 1.10, or copy it with "skopeo copy --format v2s2"',
  });
}

function fault(what: string, why: string, cause?: unknown): OcibuildError {
  return new OcibuildError(
    'IMAGE_INVALID',
    `Cannot read ${what}: ${why}`,
    cause === undefined ? {} : { cause },
  );
}
