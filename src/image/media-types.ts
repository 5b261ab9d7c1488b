import { type Descriptor, MEDIA_TYPE } from './types.ts';

/** The two families of media types; the documents mean the same. */
export type ImageFormat = 'oci' | 'docker';

/** OCI's name and Docker's. Docker never published one for zstd; containerd and BuildKit write this. */
const PAIRS: readonly (readonly [oci: string, docker: string])[] = [
  [MEDIA_TYPE.index, MEDIA_TYPE.dockerIndex],
  [MEDIA_TYPE.manifest, MEDIA_TYPE.dockerManifest],
  [MEDIA_TYPE.config, MEDIA_TYPE.dockerConfig],
  [MEDIA_TYPE.layerTar, MEDIA_TYPE.dockerLayerTar],
  [MEDIA_TYPE.layerGzip, MEDIA_TYPE.dockerLayerGzip],
  [MEDIA_TYPE.layerZstd, 'application/vnd.docker.image.rootfs.diff.tar.zstd'],
  [
    'application/vnd.oci.image.layer.nondistributable.v1.tar',
    'application/vnd.docker.image.rootfs.foreign.diff.tar',
  ],
  [
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ],
];

const NON_DISTRIBUTABLE: Readonly<Record<string, string>> = {
  'application/vnd.oci.image.layer.nondistributable.v1.tar': MEDIA_TYPE.layerTar,
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip': MEDIA_TYPE.layerGzip,
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd': MEDIA_TYPE.layerZstd,
  'application/vnd.docker.image.rootfs.foreign.diff.tar': MEDIA_TYPE.dockerLayerTar,
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip': MEDIA_TYPE.dockerLayerGzip,
};

/** The descriptor of a layer that anybody may have from anywhere, as the image-spec asks for since 1.1. */
export function distributable(layer: Descriptor): Descriptor {
  const mediaType = NON_DISTRIBUTABLE[layer.mediaType];
  if (mediaType === undefined) return layer;
  const { urls: _, ...facts } = layer;
  return { ...facts, mediaType };
}

/** What the same thing is called in a family; undefined for what is no part of an image. */
export function mediaTypeIn(format: ImageFormat, mediaType: string): string | undefined {
  const pair = PAIRS.find((names) => names.includes(mediaType));
  return pair?.[format === 'oci' ? 0 : 1];
}
