import { describe, expect, it } from 'vitest';
import { distributable, mediaTypeIn } from '../../../src/image/media-types.ts';
import { type Descriptor, MEDIA_TYPE } from '../../../src/image/types.ts';

const layer = (mediaType: string): Descriptor => ({
  mediaType,
  digest: `sha256:${'a'.repeat(64)}`,
  size: 1,
  urls: ['https://maker.example/layer'],
});

describe('distributable()', () => {
  it.each([
    ['application/vnd.oci.image.layer.nondistributable.v1.tar', MEDIA_TYPE.layerTar],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', MEDIA_TYPE.layerGzip],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', MEDIA_TYPE.layerZstd],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', MEDIA_TYPE.dockerLayerGzip],
  ])('makes a layer as all others of %s', (type, expected) => {
    const { urls: _, ...facts } = layer(type);
    expect(distributable(layer(type))).toEqual({ ...facts, mediaType: expected });
  });

  it('leaves other layers as they are, with their URLs', () => {
    expect(distributable(layer(MEDIA_TYPE.layerGzip))).toEqual(layer(MEDIA_TYPE.layerGzip));
  });
});

describe('mediaTypeIn()', () => {
  it('gives back the same type after both directions', () => {
    for (const type of [
      MEDIA_TYPE.index,
      MEDIA_TYPE.manifest,
      MEDIA_TYPE.config,
      MEDIA_TYPE.layerTar,
      MEDIA_TYPE.layerZstd,
    ]) {
      expect(mediaTypeIn('oci', mediaTypeIn('docker', type) ?? '')).toBe(type);
    }
    expect(mediaTypeIn('docker', 'text/plain')).toBeUndefined();
  });
});
