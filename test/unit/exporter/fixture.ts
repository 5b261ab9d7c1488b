import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { assembleImage } from '../../../src/exporter/image-writer.ts';
import type { ExportImage, ExportSet, ExportTree } from '../../../src/exporter/types.ts';
import { digestBytes } from '../../../src/image/digest.ts';
import { type ImageConfig, MEDIA_TYPE } from '../../../src/image/types.ts';
import type { TreeEntry } from '../../../src/layer/types.ts';

/** A directory that goes away with the test. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-exporter-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** An image whose layers hold the given bytes (they need not be tars: exporters do not look inside). */
export function imageOf(store: string, layers: readonly (string | Buffer)[]): ExportImage {
  const blobs = layers.map((bytes) => {
    const digest = digestBytes(bytes);
    const blobPath = join(store, digest.slice(7));
    writeFileSync(blobPath, bytes);
    return {
      blobPath,
      descriptor: { mediaType: MEDIA_TYPE.layerTar, digest, size: Buffer.byteLength(bytes) },
    };
  });
  const config: ImageConfig = {
    created: '2024-01-02T03:04:05Z',
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: blobs.map((blob) => blob.descriptor.digest) },
    history: blobs.map((_, index) => ({ created_by: `COPY ${index} /` })),
  };
  return { ...assembleImage({ layers: blobs.map((b) => b.descriptor), config }), layers: blobs };
}

/** The image as what is exported, without an index. */
export function single(image: ExportImage): ExportSet {
  return { top: image.manifest, images: [image] };
}

type Facts = Partial<TreeEntry> & Pick<TreeEntry, 'path' | 'type'>;

/** A root file system; `contents` are the bytes of its files by path. */
export function treeOf(
  store: string,
  entries: readonly Facts[],
  contents: Record<string, string> = {},
): ExportTree {
  Object.values(contents).forEach((text, index) => {
    writeFileSync(join(store, `content-${index}`), text);
  });
  const paths = Object.keys(contents);
  return {
    tree: entries.map((entry) => ({
      mode: entry.type === 'dir' ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      mtimeSec: 1_700_000_000,
      ...entry,
      size: entry.type === 'file' ? Buffer.byteLength(contents[entry.path] ?? '') : 0,
    })),
    content: (path) => join(store, `content-${paths.indexOf(path)}`),
  };
}

export const noSignal: AbortSignal = new AbortController().signal;
