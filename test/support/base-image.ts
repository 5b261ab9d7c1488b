import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { writeLayoutIndex } from '../../src/image/layout-index.ts';
import { ANNOTATION, type Descriptor, MEDIA_TYPE } from '../../src/image/types.ts';
import { writeBlob } from './layout.ts';

/**
 * Makes an image of two gzip layers with GNU tar: busybox as /bin/sh, then /opt/tool. Gives its layers.
 * @param more archives of further layers
 */
export async function makeShellImage(
  layout: string,
  tag: string,
  more: readonly Buffer[] = [],
): Promise<readonly Descriptor[]> {
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const root = mkdtempSync(join(tmpdir(), 'ocibuild-root-'));
  const add = (path: string): Buffer =>
    execFileSync('tar', ['--numeric-owner', '-cf', '-', '-C', root, path], { maxBuffer: 16 << 20 });
  try {
    mkdirSync(join(root, 'bin'));
    copyFileSync(execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(), join(root, 'bin/busybox'));
    symlinkSync('busybox', join(root, 'bin/sh'));
    mkdirSync(join(root, 'opt'));
    writeFileSync(join(root, 'opt/tool'), Buffer.alloc(200_000, 'tool'));
    const tars = [add('bin'), add('opt'), ...more];
    const layers = tars.map((tar) => writeBlob(layout, gzipSync(tar, { level: 3 }), MEDIA_TYPE.layerGzip));
    const config = {
      created: '2024-01-02T03:04:05Z',
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['PATH=/bin', 'FROM_BASE=yes'] },
      rootfs: {
        type: 'layers',
        diff_ids: tars.map((tar) => `sha256:${createHash('sha256').update(tar).digest('hex')}`),
      },
      history: tars.map(() => ({ created: '2024-01-02T03:04:05Z', created_by: 'tar' })),
    };
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.manifest,
      config: writeBlob(layout, Buffer.from(JSON.stringify(config)), MEDIA_TYPE.config),
      layers,
    };
    const manifest = writeBlob(layout, Buffer.from(JSON.stringify(document)), MEDIA_TYPE.manifest);
    await writeLayoutIndex(layout, [{ ...manifest, annotations: { [ANNOTATION.refName]: tag } }], {
      signal: AbortSignal.timeout(100_000),
    });
    return layers;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
