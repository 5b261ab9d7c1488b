import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLayout } from '../../../src/image/layout.ts';
import { writeLayoutIndex } from '../../../src/image/layout-index.ts';
import { encodeDocument } from '../../../src/image/manifest.ts';
import { ANNOTATION, type Descriptor, MEDIA_TYPE, type Platform } from '../../../src/image/types.ts';
import { makeLayout, tarOf, writeBlob } from '../../support/layout.ts';
import { validateImage } from '../../support/validate-image.ts';

const signal = new AbortController().signal;
const ARM64: Platform = { os: 'linux', architecture: 'arm64' };
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ocibuild-validate-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const named = (descriptor: Descriptor, tag: string): Descriptor => ({
  ...descriptor,
  annotations: { [ANNOTATION.refName]: tag },
});

describe('validateImage()', () => {
  const problems = async (): Promise<string[]> =>
    (await validateImage(dir, undefined, { signal })).map(({ section, message }) => `${section}: ${message}`);

  it('finds nothing when the image is right', async () => {
    await makeLayout(dir, 'v1', { layers: [{ a: '1' }, { b: '2' }], config: { Env: ['A=1'] } });
    await makeLayout(dir, 'all', [{ layers: [{ a: '1' }] }, { layers: [], platform: ARM64 }]);
    expect(await problems()).toEqual([]);
    expect(await validateImage(dir, 'v1', { signal })).toEqual([]);
  });

  it('tells layers that are missing, altered or not what their diffID says', async () => {
    await makeLayout(dir, 'v1', { layers: [{ a: '1' }, { b: '2' }, { c: '3' }] });
    const layout = await openLayout(dir);
    const manifest = JSON.parse((await layout.readBlob(await layout.resolve({}))).toString());
    rmSync(layout.blobPath(manifest.layers[0].digest));
    writeFileSync(layout.blobPath(manifest.layers[1].digest), gzipSync('x'));
    const tar = tarOf({ other: '' });
    manifest.layers[2] = writeBlob(dir, gzipSync(tar.subarray(0, -512)), MEDIA_TYPE.layerGzip);
    const changed = writeBlob(dir, encodeDocument(manifest), MEDIA_TYPE.manifest);
    await writeLayoutIndex(dir, [named(changed, 'v1')], { signal });
    expect(await problems()).toEqual([
      expect.stringMatching(/^image-layout.md §Blobs: blob ".*" is missing$/),
      expect.stringMatching(/^descriptor.md: size is \d+ B, the blob has \d+ B$/),
      expect.stringMatching(/^descriptor.md §Digests: digest is/),
      expect.stringMatching(/^config.md §rootfs: diff_id is/),
      'layer.md: the tar does not end with two zero blocks',
    ]);
  });

  it('tells a config that disagrees with its manifest, and annotations that are wrong', async () => {
    await makeLayout(dir, 'v1', { layers: [{ a: '1' }], config: { Env: ['A'], ExposedPorts: { x: {} } } });
    const layout = await openLayout(dir);
    const found = await layout.resolve({});
    const manifest = JSON.parse((await layout.readBlob(found)).toString());
    manifest.layers = [];
    manifest.annotations = { 'org.opencontainers.image.mine': '', [ANNOTATION.created]: 'today' };
    const changed = { ...writeBlob(dir, encodeDocument(manifest), MEDIA_TYPE.manifest), platform: ARM64 };
    await writeLayoutIndex(dir, [named(changed, 'v1')], { signal });
    await writeLayoutIndex(dir, [named({ ...changed, size: 1 }, 'not a name!')], { signal });
    expect(await problems()).toEqual([
      expect.stringContaining('ref.name is "not a name!"'),
      expect.stringContaining('"org.opencontainers.image.mine" is reserved'),
      expect.stringContaining('created is "today"'),
      'config.md §rootfs: 1 diff_ids, but the manifest has 0 layers',
      expect.stringContaining('"A" is not NAME=VALUE'),
      expect.stringContaining('"x" is not a port'),
      expect.stringContaining('is linux/amd64, its descriptor says linux/arm64'),
      expect.stringContaining('got more than 1 B, expected 1 B'),
    ]);
  });

  it('tells a directory that is no layout', async () => {
    expect(await problems()).toEqual([expect.stringContaining('the file "oci-layout" is missing')]);
  });
});
