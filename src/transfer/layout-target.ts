import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isOcibuildError, throwIfAborted } from '../errors/error.ts';
import { copyBlob } from '../exporter/copy-blob.ts';
import { exportError, targetError } from '../exporter/export-error.ts';
import { type ByteSink, fileSink } from '../exporter/target.ts';
import { blobName } from '../image/layout.ts';
import { makeLayoutFile, writeLayoutIndex } from '../image/layout-index.ts';
import type { Descriptor } from '../image/types.ts';
import { makeDirs } from '../util/make-dirs.ts';
import { beginWriting, claimBlob } from './layout-writers.ts';
import { moveBlob } from './move-blob.ts';
import type { ImageTarget } from './types.ts';

export interface LayoutTargetOptions {
  /** What index.json gets for the image. */
  entries(top: Descriptor): readonly Descriptor[];
  readonly signal: AbortSignal;
}

/**
 * An OCI layout directory as a target. An existing layout keeps its other images; blobs that are there are verified
 * instead of trusted. When it fails nothing that it added stays.
 * @throws BLOB_*, LAYOUT_INVALID, DISK_FULL, EXPORT_TARGET_INVALID, EXPORT_FAILED
 * @see image-spec image-layout.md
 */
export function layoutTarget(dir: string, { entries, signal }: LayoutTargetOptions): ImageTarget {
  return async (top, fill) => {
    const added: { readonly path: string; readonly mtimeMs: number | undefined }[] = [];
    const timeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    let end = (): void => undefined;
    throwIfAborted(signal);
    const made = makeLayoutDir(dir);
    const put = async (descriptor: Descriptor, copy: (sink: ByteSink) => Promise<void>) => {
      const path = join(dir, blobName(descriptor.digest));
      const isThere = existsSync(path);
      if (isThere && (await isIntact(path, descriptor, signal)) && claimBlob(path)) return 'exists';
      await copyInto(dir, path, copy, signal);
      if (!isThere) added.push({ path, mtimeMs: timeOf(path) });
      return 'copied';
    };
    try {
      end = beginWriting(dir);
      await fill({
        putBlob: (descriptor, blob, options) =>
          put(descriptor, (sink) => moveBlob(descriptor, blob, { ...options, sink })),
        async putDocument(descriptor, bytes) {
          await put(descriptor, (sink) => sink.write(bytes));
        },
      });
      await writeLayoutIndex(dir, entries(top), { signal });
    } catch (error) {
      // What another writer found meanwhile is its as well.
      for (const { path, mtimeMs } of added) if (timeOf(path) === mtimeMs) rmSync(path, { force: true });
      end();
      if (made !== undefined) removeEmpty(dir, made.from);
      throw exportError(error, dir);
    } finally {
      end();
    }
  };
}

/** The topmost directory that had to be made, if any; undefined where there was a layout. */
function makeLayoutDir(dir: string): { readonly from: string | undefined } | undefined {
  try {
    const isLayout = existsSync(join(dir, 'oci-layout'));
    // Asked again: who makes the layout at this moment makes the file first.
    if (!isLayout && existsSync(join(dir, 'blobs')) && !existsSync(join(dir, 'oci-layout'))) {
      throw targetError(dir, 'it has "blobs" but no "oci-layout", so it is no image layout');
    }
    const from = makeDirs(dir);
    makeLayoutFile(dir);
    mkdirSync(join(dir, 'blobs', 'sha256'), { recursive: true });
    return isLayout ? undefined : { from };
  } catch (error) {
    throw exportError(error, dir);
  }
}

/** Takes back what was made for a layout, unless others have put something there meanwhile. */
function removeEmpty(dir: string, from: string | undefined): void {
  try {
    for (const name of ['blobs/sha256', 'blobs']) rmdirSync(join(dir, name));
    rmSync(join(dir, 'oci-layout'), { force: true });
    if (from === undefined) return;
    for (let path = dir; path.length >= from.length; path = dirname(path)) rmdirSync(path);
  } catch {
    // Not empty: it is somebody's.
  }
}

/** Blobs with a wrong size or content are written anew. */
async function isIntact(path: string, descriptor: Descriptor, signal: AbortSignal): Promise<boolean> {
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
