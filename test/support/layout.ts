import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { finishConfig } from '../../src/image/config.ts';
import { writeLayoutIndex } from '../../src/image/layout-index.ts';
import { encodeConfig, encodeDocument } from '../../src/image/manifest.ts';
import {
  ANNOTATION,
  type ContainerConfig,
  type Descriptor,
  type Digest,
  type Index,
  MEDIA_TYPE,
  type Platform,
} from '../../src/image/types.ts';

/** One layer each: path → content. */
export interface TestImage {
  readonly layers: readonly Readonly<Record<string, string | Buffer>>[];
  readonly config?: ContainerConfig;
  readonly platform?: Platform;
}

const signal = new AbortController().signal;
const AMD64: Platform = { os: 'linux', architecture: 'amd64' };

/** Writes one image, or an index of several, into a layout directory under a tag; gives its descriptor. */
export async function makeLayout(
  dir: string,
  tag: string,
  images: TestImage | readonly TestImage[],
): Promise<Descriptor> {
  mkdirSync(join(dir, 'blobs', 'sha256'), { recursive: true });
  const made = [images].flat().map((image) => writeImage(dir, image));
  const [first] = made;
  const target = Array.isArray(images) ? writeIndex(dir, made) : first;
  if (target === undefined) throw new RangeError('Cannot make a layout without an image');
  await writeLayoutIndex(dir, [{ ...target, annotations: { [ANNOTATION.refName]: tag } }], { signal });
  return target;
}

/** Writes a blob and gives its descriptor. */
export function writeBlob(dir: string, data: Buffer, mediaType: string): Descriptor {
  const hex = createHash('sha256').update(data).digest('hex');
  writeFileSync(join(dir, 'blobs', 'sha256', hex), data);
  return { mediaType, digest: `sha256:${hex}`, size: data.length };
}

/** A tar of plain files, ustar headers, root-owned, time zero. */
export function tarOf(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const data = Buffer.from(content);
    return [header(path, data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function header(path: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function writeImage(dir: string, { layers, config = {}, platform = AMD64 }: TestImage): Descriptor {
  const tars = layers.map(tarOf);
  const diffIds = tars.map((tar): Digest => `sha256:${createHash('sha256').update(tar).digest('hex')}`);
  const history = layers.map((files) => ({ created_by: `COPY ${Object.keys(files).join(' ')} /` }));
  const { os, architecture, variant } = platform;
  const finished = finishConfig(
    {
      os,
      architecture,
      ...(variant ? { variant } : {}),
      config,
      history,
      rootfs: { type: 'layers', diff_ids: [] },
    },
    { diffIds, created: new Date(0), baseHistory: 0 },
  );
  const manifest = {
    schemaVersion: 2 as const,
    mediaType: MEDIA_TYPE.manifest,
    config: writeBlob(dir, encodeConfig(finished), MEDIA_TYPE.config),
    layers: tars.map((tar) => writeBlob(dir, gzipSync(tar), MEDIA_TYPE.layerGzip)),
  };
  return { ...writeBlob(dir, encodeDocument(manifest), MEDIA_TYPE.manifest), platform };
}

function writeIndex(dir: string, manifests: readonly Descriptor[]): Descriptor {
  const index: Index = { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests };
  return writeBlob(dir, encodeDocument(index), MEDIA_TYPE.index);
}
