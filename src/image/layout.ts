import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { digestBytes, isDigest } from './digest.ts';
import { documentKind, MAX_DOCUMENT_BYTES, parseDocument } from './manifest.ts';
import { formatPlatform, selectPlatform } from './platform.ts';
import { parseReference } from './reference.ts';
import { ANNOTATION, type Descriptor, type Digest, type Index, MEDIA_TYPE, type Platform } from './types.ts';

const MAX_INDEX_DEPTH = 8;
/** An index.json may list every image of a store, so more than a document from a registry. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
/** What Buildah and skopeo write for `oci:DIR:app:v0`. @see image-spec annotations.md, org.opencontainers.image.ref.name */
const REF_NAME = /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*$/;

/** What to look for in a layout. Without tag and digest it is the sole manifest, or the one tagged `latest`. */
export interface LayoutQuery {
  readonly tag?: string;
  readonly digest?: Digest;
  /** Picks the manifest out of an index; without it an index itself is the answer. */
  readonly platform?: Platform;
  readonly signal?: AbortSignal;
}

/** An OCI image layout directory, read only. @see image-spec image-layout.md */
export interface Layout {
  readonly dir: string;
  /** `index.json` as it is now. */
  readIndex(): Promise<Index>;
  /** @throws IMAGE_NOT_FOUND, IMAGE_PLATFORM_MISSING, BLOB_*, LAYOUT_INVALID */
  resolve(query: LayoutQuery): Promise<Descriptor>;
  /** The bytes of a blob, size and digest verified. At most `maxBytes` (4 MiB).
   * @throws BLOB_NOT_FOUND, BLOB_SIZE_MISMATCH, BLOB_DIGEST_MISMATCH, LAYOUT_INVALID */
  readBlob(descriptor: Descriptor, options?: { maxBytes?: number; signal?: AbortSignal }): Promise<Buffer>;
  /** Where the blob of a digest lies, whether or not it exists. */
  blobPath(digest: Digest): string;
}

/** `oci-layout://DIR[:TAG][@DIGEST]`, taken apart. */
export interface LayoutTarget {
  /** As written: relative or absolute. */
  readonly dir: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** @throws LAYOUT_INVALID when the directory is not a layout of version 1. */
export async function openLayout(dir: string): Promise<Layout> {
  await checkVersion(dir);
  const layout: Layout = {
    dir,
    readIndex: () => readIndex(dir),
    resolve: (query) => resolveIn(layout, query),
    readBlob: (descriptor, options) => readBlob(layout, descriptor, options ?? {}),
    blobPath: (digest) => join(dir, blobName(digest)),
  };
  return layout;
}

/** Where a layout has the blob of a digest: `blobs/sha256/HEX`. @see image-spec image-layout.md §Blobs */
export function blobName(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/**
 * Reads `DIR[:TAG][@DIGEST]`, with or without `oci-layout://` before it.
 * @throws REFERENCE_INVALID
 */
export function parseLayoutTarget(text: string): LayoutTarget {
  const body = text.replace(/^oci-layout:\/\//, '');
  const at = body.lastIndexOf('@sha256:') >= 0 ? body.lastIndexOf('@sha256:') : body.lastIndexOf('@');
  const suffix = at < 0 ? undefined : body.slice(at + 1);
  // A directory may hold an "@"; only a digest's own form ends the path there.
  const digest = suffix !== undefined && /^\w+:/.test(suffix) ? suffix : undefined;
  const path = digest === undefined ? body : body.slice(0, at);
  const colon = path.indexOf(':', Math.max(path.lastIndexOf('/'), 0));
  const dir = colon < 0 ? path : path.slice(0, colon);
  if (dir === '') {
    throw new OcibuildError('REFERENCE_INVALID', `Cannot read layout "${text}": the directory is missing`, {
      hint: 'write it as "oci-layout://DIR[:TAG][@DIGEST]"',
    });
  }
  const name = colon < 0 ? '' : path.slice(colon + 1);
  const isName = name.includes(':') && REF_NAME.test(name);
  // Other than that, tag and digest follow the rules of image names.
  const { tag = isName ? name : undefined, digest: checked } = parseReference(
    `layout${colon < 0 || isName ? '' : `:${name}`}${digest === undefined ? '' : `@${digest}`}`,
  );
  return {
    dir,
    ...(tag === undefined ? {} : { tag }),
    ...(checked === undefined ? {} : { digest: checked }),
  };
}

async function checkVersion(dir: string): Promise<void> {
  checkLayoutVersion(await readText(dir, 'oci-layout'), dir);
}

/** Of the text of `oci-layout`; `place` is for messages. @throws LAYOUT_INVALID */
export function checkLayoutVersion(text: string, place: string): void {
  let version: unknown;
  try {
    version = (JSON.parse(text) as { imageLayoutVersion?: unknown } | null)?.imageLayoutVersion;
  } catch (cause) {
    throw fault(place, 'the file "oci-layout" is not JSON', cause);
  }
  if (typeof version !== 'string' || !/^1\.\d+\.\d+/.test(version)) {
    throw fault(place, `imageLayoutVersion is ${JSON.stringify(version)}, expected "1.0.0"`);
  }
}

async function readIndex(dir: string): Promise<Index> {
  return parseLayoutIndex(Buffer.from(await readText(dir, 'index.json')), dir);
}

/** Of the bytes of `index.json`. @throws LAYOUT_INVALID */
export function parseLayoutIndex(bytes: Buffer, place: string): Index {
  try {
    const document = parseDocument(bytes, MEDIA_TYPE.index);
    if (document.kind === 'index') return document.index;
  } catch (cause) {
    throw fault(place, cause instanceof Error ? `index.json: ${cause.message}` : 'index.json', cause);
  }
  throw fault(place, 'index.json is not an index');
}

async function readText(dir: string, name: string): Promise<string> {
  const path = join(dir, name);
  try {
    const stats = await stat(path);
    if (!stats.isFile()) throw fault(dir, `"${name}" is no file`);
    if (stats.size > MAX_INDEX_BYTES) {
      throw fault(dir, `the file "${name}" has ${stats.size} B, at most ${MAX_INDEX_BYTES} B are read`);
    }
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (isOcibuildError(cause)) throw cause;
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw fault(dir, missing ? `the file "${name}" is missing` : `the file "${name}" is not readable`, cause);
  }
}

async function resolveIn(layout: Layout, query: LayoutQuery): Promise<Descriptor> {
  const { manifests } = await layout.readIndex();
  const found =
    query.digest === undefined
      ? findTag(layout.dir, manifests, query)
      : await findDigest(layout, query.digest);
  return query.platform === undefined ? found : await descend(layout, found, query.platform, query.signal);
}

/** The entry of an index.json that a tag means; without one the only image, or the one tagged `latest`.
 * @throws IMAGE_NOT_FOUND */
export function findTag(
  place: string,
  entries: readonly Descriptor[],
  { tag, platform }: LayoutQuery,
): Descriptor {
  const images = entries.filter((entry) => documentKind(entry.mediaType) !== undefined);
  const named = (name: string): Descriptor[] =>
    images.filter(
      ({ annotations }) =>
        annotations?.[ANNOTATION.refName] === name || annotations?.[ANNOTATION.containerdName] === name,
    );
  // One image may have several names, so several entries.
  const sole = new Set(images.map((entry) => entry.digest)).size === 1;
  const matches = tag === undefined ? (sole ? images : named('latest')) : named(tag);
  // Layouts of some tools hold one entry for each platform under the same name.
  const index =
    platform === undefined || matches.length < 2
      ? 0
      : selectPlatform(
          matches.map((m) => m.platform),
          platform,
        );
  const match = matches[Math.max(index, 0)];
  if (match !== undefined) return match;
  const names = images.flatMap((entry) => entry.annotations?.[ANNOTATION.refName] ?? []);
  const held =
    images.length === 0
      ? 'it holds no image'
      : `it holds ${images.length} images: ${names.join(', ') || 'none has a name'}`;
  const wanted = tag === undefined ? 'without a tag' : `"${tag}"`;
  throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find image ${wanted} in layout "${place}": ${held}`, {
    ...(tag === undefined && names.length > 0
      ? { hint: `name one after the path: "${place}:${names[0]}"` }
      : {}),
  });
}

/** A digest needs no entry in index.json: the blob is read to learn what it is. */
async function findDigest(layout: Layout, digest: Digest): Promise<Descriptor> {
  const { manifests } = await layout.readIndex();
  const entry = manifests.find((candidate) => candidate.digest === digest);
  if (entry !== undefined) return entry;
  const stats = await stat(layout.blobPath(digest)).catch((cause: unknown) => {
    throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find image "${digest}" in layout "${layout.dir}"`, {
      cause,
    });
  });
  const found = { mediaType: MEDIA_TYPE.manifest, digest, size: stats.size };
  return { ...found, mediaType: parseDocument(await layout.readBlob(found)).mediaType };
}

async function descend(
  layout: Layout,
  start: Descriptor,
  wanted: Platform,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  let current = start;
  for (let depth = 0; depth < MAX_INDEX_DEPTH; depth++) {
    throwIfAborted(signal);
    if (documentKind(current.mediaType) !== 'index') return current;
    const document = parseDocument(await layout.readBlob(current), current.mediaType);
    if (document.kind !== 'index') return current;
    const entries = document.index.manifests.filter((entry) => documentKind(entry.mediaType) !== undefined);
    const next =
      entries[
        selectPlatform(
          entries.map((entry) => entry.platform),
          wanted,
        )
      ];
    if (next === undefined) throw platformMissing(layout.dir, entries, wanted);
    current = next;
  }
  throw fault(layout.dir, `indexes are nested more than ${MAX_INDEX_DEPTH} deep`);
}

function platformMissing(dir: string, entries: readonly Descriptor[], wanted: Platform): OcibuildError {
  const held = entries.flatMap(({ platform }) =>
    platform && platform.os !== 'unknown' ? [formatPlatform(platform)] : [],
  );
  return new OcibuildError(
    'IMAGE_PLATFORM_MISSING',
    `Cannot find platform "${formatPlatform(wanted)}" in layout "${dir}": it has ${held.join(', ') || 'none'}`,
  );
}

async function readBlob(
  layout: Layout,
  descriptor: Descriptor,
  { maxBytes = MAX_DOCUMENT_BYTES, signal }: { maxBytes?: number; signal?: AbortSignal },
): Promise<Buffer> {
  throwIfAborted(signal);
  const { digest, size } = descriptor;
  if (!isDigest(digest)) throw fault(layout.dir, `"${digest}" is not a digest`);
  if (size > maxBytes) throw fault(layout.dir, `"${digest}" has ${size} B, at most ${maxBytes} B are read`);
  const path = layout.blobPath(digest);
  // Opening a FIFO would wait for its writer.
  const isFile = await stat(path).then(
    (stats) => stats.isFile(),
    () => true,
  );
  if (!isFile) throw fault(layout.dir, `blob "${digest}" is no file`);
  const file = await open(path).catch((cause: unknown) => {
    throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find blob "${digest}" in layout "${layout.dir}"`, {
      cause,
    });
  });
  try {
    // One byte more than promised shows a blob that is too long without reading all of it.
    const bytes = Buffer.alloc(size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) break;
    }
    verify(bytes.subarray(0, length), descriptor);
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}

/** Size first: it is cheap, and a hash of foreign bytes should be of bounded length. */
function verify(bytes: Buffer, { digest, size }: Descriptor): void {
  if (bytes.length !== size) {
    throw new OcibuildError(
      'BLOB_SIZE_MISMATCH',
      `Cannot use blob "${digest}": got ${bytes.length > size ? 'more than ' : ''}${Math.min(bytes.length, size)} B, expected ${size} B`,
    );
  }
  const actual = digestBytes(bytes);
  if (actual !== digest) {
    throw new OcibuildError(
      'BLOB_DIGEST_MISMATCH',
      `Cannot use blob "${digest}": its content has digest "${actual}"`,
    );
  }
}

function fault(dir: string, why: string, cause?: unknown): OcibuildError {
  return new OcibuildError('LAYOUT_INVALID', `Cannot read image layout "${dir}": ${why}`, {
    details: { dir },
    ...(cause === undefined ? {} : { cause }),
  });
}
