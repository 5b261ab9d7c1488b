import { describe, expect, it } from 'vitest';
import { assembleImage, assembleIndex, indexEntries } from '../../../src/exporter/image-writer.ts';
import { digestBytes } from '../../../src/image/digest.ts';
import { type ImageConfig, MEDIA_TYPE } from '../../../src/image/types.ts';

const LAYER = {
  mediaType: MEDIA_TYPE.layerGzip,
  digest: digestBytes('layer'),
  size: 5,
  annotations: { from: 'elsewhere' },
};
const CONFIG: ImageConfig = {
  architecture: 'arm',
  variant: 'v7',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [digestBytes('diff')] },
  history: [{ created_by: 'ENV a=b', empty_layer: true }, { created_by: 'COPY' }],
};

describe('assembleImage()', () => {
  it('assembleImage() writes manifest and config when layers are given', () => {
    const image = assembleImage({ layers: [LAYER], config: CONFIG, annotations: { z: '1', a: '2' } });
    expect(image.manifestBytes.toString()).toBe(`{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "${digestBytes(image.configBytes)}",
    "size": ${image.configBytes.length}
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "${LAYER.digest}",
      "size": 5
    }
  ],
  "annotations": {
    "a": "2",
    "z": "1"
  }
}`);
    expect(image.manifest).toEqual({
      mediaType: MEDIA_TYPE.manifest,
      digest: digestBytes(image.manifestBytes),
      size: image.manifestBytes.length,
      platform: { architecture: 'arm', os: 'linux', variant: 'v7' },
    });
  });

  it('assembleImage() leaves annotations out when there are none', () => {
    const { manifestBytes } = assembleImage({ layers: [LAYER], config: CONFIG, annotations: {} });
    expect(manifestBytes.toString()).not.toContain('annotations');
  });

  it('assembleImage() adds the oldest history lines when the base had too few', () => {
    const second = digestBytes('second');
    const config = { ...CONFIG, rootfs: { ...CONFIG.rootfs, diff_ids: [second, second] } };
    const image = assembleImage({ layers: [LAYER, LAYER], config });
    expect(image.config.history).toEqual([{}, ...(CONFIG.history ?? [])]);
    expect(JSON.parse(image.configBytes.toString()).history).toHaveLength(3);
  });

  it('assembleImage() refuses when layers and diff_ids or history do not agree', () => {
    const code = (layers: (typeof LAYER)[], config: ImageConfig): string => {
      try {
        assembleImage({ layers, config });
        return '';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(code([], CONFIG)).toBe('IMAGE_INVALID');
    expect(code([LAYER], { ...CONFIG, history: [{}, {}] })).toBe('IMAGE_INVALID');
  });
});

describe('indexEntries()', () => {
  const { manifest } = assembleImage({ layers: [LAYER], config: CONFIG });

  it('indexEntries() gives one entry for each name when there are several', () => {
    const entries = indexEntries(
      manifest,
      ['docker.io/library/app:v0', 'reg.example/app:v1'],
      '2024-01-01T00:00:00Z',
    );
    expect(entries.map((entry) => entry.annotations)).toEqual([
      {
        'io.containerd.image.name': 'docker.io/library/app:v0',
        'org.opencontainers.image.created': '2024-01-01T00:00:00Z',
        'org.opencontainers.image.ref.name': 'v0',
      },
      {
        'io.containerd.image.name': 'reg.example/app:v1',
        'org.opencontainers.image.created': '2024-01-01T00:00:00Z',
        'org.opencontainers.image.ref.name': 'v1',
      },
    ]);
    expect(entries.every((entry) => entry.digest === manifest.digest)).toBe(true);
  });

  it('indexEntries() gives one entry without ref.name when there is no name', () => {
    expect(indexEntries(manifest, [], undefined)).toEqual([manifest]);
    expect(indexEntries(manifest, [], 'T')[0]?.annotations).toEqual({
      'org.opencontainers.image.created': 'T',
    });
  });
});

describe('assembleIndex()', () => {
  const imageFor = (architecture: string) => ({
    ...assembleImage({
      layers: [LAYER],
      config: { ...CONFIG, architecture },
      platform: { os: 'linux', architecture },
      descriptorAnnotations: { of: architecture },
    }),
    layers: [],
  });

  it('assembleIndex() lists the images in their order, with platform and annotations', () => {
    const images = [imageFor('arm64'), imageFor('386')];
    const { top, index } = assembleIndex(images, { index: { i: '1' }, descriptor: { d: '2' } });
    expect(JSON.parse(index.toString())).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.index,
      manifests: images.map(({ manifest }) => manifest),
      annotations: { i: '1' },
    });
    expect(images[0]?.manifest).toMatchObject({
      platform: { os: 'linux', architecture: 'arm64' },
      annotations: { of: 'arm64' },
    });
    expect(top).toEqual({
      mediaType: MEDIA_TYPE.index,
      digest: digestBytes(index),
      size: index.length,
      annotations: { d: '2' },
    });
    expect(indexEntries(top, [], 'T')[0]?.annotations).toEqual({
      d: '2',
      'org.opencontainers.image.created': 'T',
    });
  });
});
