import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isOcibuildError, throwIfAborted } from '../errors/error.ts';
import { writeLayoutIndex } from '../image/layout-index.ts';
import { encodeDocument } from '../image/manifest.ts';
import { type Descriptor, type Digest, MEDIA_TYPE } from '../image/types.ts';
import { writeArchive } from './archive.ts';
import { copyBlob } from './copy-blob.ts';
import { exportError, targetError } from './export-error.ts';
import { indexEntries } from './image-writer.ts';
import { type ByteSink, type ExportTarget, fileSink, writeTarget } from './target.ts';
import type { ExportOptions, ExportSet } from './types.ts';

const LAYOUT_FILE = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/**
 * Writes the image, or all images of an index, as one tar in OCI layout form. Equal images with equal names give equal bytes. Blobs are
 * verified while they are copied; a file appears whole or not at all.
 * @throws BLOB_*, DISK_FULL, EXPORT_TARGET_INVALID, EXPORT_FAILED
 * @see image-spec image-layout.md
 */
export async function exportOciArchive(
  set: ExportSet,
  target: ExportTarget,
  options: ExportOptions,
): Promise<void> {
  const index = encodeDocument({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.index,
    manifests: indexEntries(set.top, options.names, createdOf(set, options)),
  });
  await writeTarget(target, options.signal, (sink) =>
    writeArchive(sink, options.epochSec ?? 0, async (archive) => {
      await archive.file('oci-layout', LAYOUT_FILE);
      await archive.dir('blobs');
      await archive.dir('blobs/sha256');
      for (const { descriptor, copy } of blobsOf(set)) {
        await archive.stream(blobName(descriptor.digest), descriptor.size, (into) => copy(into, options));
      }
      // Last: a stream that was cut off has no index and so is no layout.
      await archive.file('index.json', index);
    }),
  );
}

/**
 * Writes the image, or all images of an index, into an OCI layout directory. An existing layout keeps its other images; blobs that are there
 * are verified instead of trusted. When it fails nothing that it added stays.
 * @throws as `exportOciArchive`; LAYOUT_INVALID
 */
export async function exportOciLayout(set: ExportSet, dir: string, options: ExportOptions): Promise<void> {
  const added: string[] = [];
  throwIfAborted(options.signal);
  const madeFrom = makeLayoutDir(dir);
  try {
    for (const blob of blobsOf(set)) {
      const path = join(dir, blobName(blob.descriptor.digest));
      const isThere = existsSync(path);
      if (isThere && (await isIntact(path, blob.descriptor, options.signal))) continue;
      await copyInto(dir, path, (sink) => blob.copy(sink, options), options.signal);
      if (!isThere) added.push(path);
    }
    const entries = indexEntries(set.top, options.names, createdOf(set, options));
    await writeLayoutIndex(dir, entries, { signal: options.signal });
  } catch (error) {
    if (madeFrom !== undefined) rmSync(madeFrom, { recursive: true, force: true });
    else for (const path of added) rmSync(path, { force: true });
    throw exportError(error, dir);
  }
}

/** The topmost directory that had to be made, undefined where the layout's directory was there. */
function makeLayoutDir(dir: string): string | undefined {
  try {
    const known = existsSync(dir);
    if (known && existsSync(join(dir, 'blobs')) !== existsSync(join(dir, 'oci-layout'))) {
      throw targetError(dir, 'it has only one of "blobs" and "oci-layout", so it is no image layout');
    }
    const made = mkdirSync(dir, { recursive: true });
    mkdirSync(join(dir, 'blobs', 'sha256'), { recursive: true });
    return known ? undefined : made;
  } catch (error) {
    throw exportError(error, dir);
  }
}

interface Blob {
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>;
  copy(sink: ByteSink, options: ExportOptions): Promise<void>;
}

/** For each image its layers base first, then config and manifest; the index last. Equal blobs once. */
function blobsOf({ top, index, images }: ExportSet): Blob[] {
  const blobs = new Map<Digest, Blob>();
  const add = (descriptor: Blob['descriptor'], bytes: Buffer): void => {
    blobs.set(descriptor.digest, { descriptor, copy: (sink) => sink.write(bytes) });
  };
  for (const image of images) {
    for (const { descriptor, blobPath } of image.layers) {
      blobs.set(descriptor.digest, {
        descriptor,
        copy: (sink, { onProgress }) =>
          copyBlob(blobPath, descriptor, sink, (copied) =>
            onProgress?.(descriptor.digest, copied, descriptor.size),
          ),
      });
    }
    add(image.configDescriptor, image.configBytes);
    add(image.manifest, image.manifestBytes);
  }
  if (index !== undefined) add(top, index);
  return [...blobs.values()];
}

function blobName(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** RFC 3339 without a fraction; the newest image's own time where no epoch is set, so that equal images stay equal. */
function createdOf({ images }: ExportSet, { epochSec }: ExportOptions): string | undefined {
  if (epochSec !== undefined) return new Date(epochSec * 1000).toISOString().replace('.000Z', 'Z');
  const times = images.flatMap(({ config }) => config.created ?? []);
  return times.sort((a, b) => Date.parse(a) - Date.parse(b)).at(-1);
}

/** Blobs with a wrong size or content are written anew. */
async function isIntact(path: string, descriptor: Blob['descriptor'], signal: AbortSignal): Promise<boolean> {
  try {
    await copyBlob(path, descriptor, {
      async write() {
        throwIfAborted(signal);
      },
    });
    return true;
  } catch (error) {
    if (isOcibuildError(error) && error.code.startsWith('BLOB_')) return false;
    throw error;
  }
}

async function copyInto(
  dir: string,
  path: string,
  copy: (sink: ByteSink) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  // Outside of blobs/: every name in there must be a digest.
  const temp = join(dir, `.blob.${randomBytes(6).toString('hex')}`);
  try {
    const fd = openSync(temp, 'wx', 0o666);
    try {
      await copy(fileSink(fd, signal));
    } finally {
      closeSync(fd);
    }
    mkdirSync(dirname(path), { recursive: true });
    renameSync(temp, path);
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
}
