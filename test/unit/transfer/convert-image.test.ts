import { describe, expect, it } from 'vitest';
import { digestBytes } from '../../../src/image/digest.ts';
import { encodeDocument, parseDocument } from '../../../src/image/manifest.ts';
import {
  type Descriptor,
  type Digest,
  type Index,
  type Manifest,
  MEDIA_TYPE,
} from '../../../src/image/types.ts';
import { choosePlatform, onlyImage } from '../../../src/transfer/choose-platform.ts';
import { convertImage } from '../../../src/transfer/convert-image.ts';
import type { ContentSource } from '../../../src/transfer/types.ts';
import { noSignal as signal } from '../exporter/fixture.ts';

const part = (mediaType: string, text: string): Descriptor => ({
  mediaType,
  digest: digestBytes(text),
  size: text.length,
});

/** An index over an image and an attestation of it. */
function made() {
  const documents = new Map<Digest, Buffer>();
  const keep = (document: Manifest | Index, mediaType: string): Descriptor => {
    const bytes = encodeDocument(document);
    const digest = digestBytes(bytes);
    documents.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const head = { schemaVersion: 2, mediaType: MEDIA_TYPE.manifest } as const;
  const layers = [part(MEDIA_TYPE.layerGzip, 'one'), part(MEDIA_TYPE.layerZstd, 'two')];
  const image = keep(
    { ...head, config: part(MEDIA_TYPE.config, '{}'), layers, annotations: { a: 'b' } },
    MEDIA_TYPE.manifest,
  );
  const attestation = keep(
    {
      ...head,
      artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
      config: part(MEDIA_TYPE.empty, '{}'),
      layers: [part('application/vnd.in-toto+json', 'sbom')],
      subject: image,
    },
    MEDIA_TYPE.manifest,
  );
  const platform = { os: 'linux', architecture: 'arm64' };
  const about = { 'vnd.docker.reference.digest': image.digest };
  const unknown = { os: 'unknown', architecture: 'unknown' };
  const manifests = [
    { ...attestation, platform: unknown, annotations: about },
    { ...image, platform },
  ];
  const top = keep({ schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests }, MEDIA_TYPE.index);
  const from: ContentSource = {
    readBytes: async ({ digest }) => documents.get(digest) ?? Buffer.of(),
    blob: () => ({ open: () => Promise.reject(new Error('no blob is read')), mountFrom: () => undefined }),
  };
  const read = async (source: ContentSource, descriptor: Descriptor) => {
    const bytes = await source.readBytes(descriptor, signal);
    expect(digestBytes(bytes)).toBe(descriptor.digest);
    return parseDocument(bytes, descriptor.mediaType) as unknown as { index: Index; manifest: Manifest };
  };
  return { top, image, layers, from, read };
}

describe('onlyImage()', () => {
  it('takes the image of an index that has attestations beside it, and leaves all else', async () => {
    const { top, image, from } = made();
    expect(await onlyImage(top, from, signal)).toMatchObject({ digest: image.digest });
    expect(await onlyImage(image, from, signal)).toBe(image);
    const manifests = ['amd64', 'arm64'].map((architecture) => ({
      ...image,
      platform: { os: 'linux', architecture },
    }));
    const bytes = encodeDocument({ schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests });
    const two = part(MEDIA_TYPE.index, bytes.toString());
    expect(await onlyImage(two, { ...from, readBytes: async () => bytes }, signal)).toBe(two);
  });
});

describe('convertImage()', () => {
  it('keeps layers and configs, and leaves out what Docker has no words for', async () => {
    const { top, layers, from, read } = made();
    const converted = await convertImage(top, { from, format: 'docker', signal });
    const { index } = await read(converted.from, converted.top);
    expect(converted.top.mediaType).toBe(MEDIA_TYPE.dockerIndex);
    expect(index.manifests).toEqual([
      expect.objectContaining({
        mediaType: MEDIA_TYPE.dockerManifest,
        platform: { os: 'linux', architecture: 'arm64' },
      }),
    ]);
    const { manifest } = await read(converted.from, index.manifests[0] as Descriptor);
    expect(manifest).not.toHaveProperty('annotations');
    expect(manifest.config).toEqual(part(MEDIA_TYPE.dockerConfig, '{}'));
    expect(manifest.layers.map(({ digest }) => digest)).toEqual(layers.map(({ digest }) => digest));
    expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual([
      MEDIA_TYPE.dockerLayerGzip,
      'application/vnd.docker.image.rootfs.diff.tar.zstd',
    ]);
  });

  it('changes no byte when all is in the form already', async () => {
    const { top, from } = made();
    const converted = await convertImage(top, { from, format: 'oci', signal });
    expect(converted.top).toEqual(top);
  });

  it('keeps an attestation about its image when the image gets another digest', async () => {
    const { from, read, image } = made();
    const docker = await convertImage(image, { from, format: 'docker', signal });
    const attestation: Manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.manifest,
      artifactType: 'a/b',
      config: part(MEDIA_TYPE.empty, '{}'),
      layers: [],
      subject: docker.top,
    };
    const bytes = encodeDocument(attestation);
    const about = { 'vnd.docker.reference.digest': docker.top.digest };
    const entry = { mediaType: MEDIA_TYPE.manifest, digest: digestBytes(bytes), size: bytes.length };
    const manifests = [docker.top, { ...entry, annotations: about }];
    const index = encodeDocument({ schemaVersion: 2, mediaType: MEDIA_TYPE.dockerIndex, manifests });
    const top = { mediaType: MEDIA_TYPE.dockerIndex, digest: digestBytes(index), size: index.length };
    const known = new Map([
      [top.digest, index],
      [entry.digest, bytes],
    ]);
    const source: ContentSource = {
      ...docker.from,
      readBytes: async (asked, stop) => known.get(asked.digest) ?? docker.from.readBytes(asked, stop),
    };
    const converted = await convertImage(top, { from: source, format: 'oci', signal });
    const [first, second] = (await read(converted.from, converted.top)).index.manifests as [
      Descriptor,
      Descriptor,
    ];
    expect(first.mediaType).toBe(MEDIA_TYPE.manifest);
    expect(second.annotations).toEqual({ 'vnd.docker.reference.digest': first.digest });
    const { manifest } = await read(converted.from, second);
    expect(manifest.subject?.digest).toBe(first.digest);
  });

  it('reads each document once when indexes name one another many times over', async () => {
    const { from, image } = made();
    const indexes = new Map<Digest, Buffer>();
    let top = image;
    for (let depth = 0; depth < 8; depth += 1) {
      const manifests = Array.from({ length: 50 }, (_, at) => ({
        ...top,
        annotations: { at: String(at) },
      }));
      const bytes = encodeDocument({ schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests });
      top = { mediaType: MEDIA_TYPE.index, digest: digestBytes(bytes), size: bytes.length };
      indexes.set(top.digest, bytes);
    }
    let reads = 0;
    const readBytes: ContentSource['readBytes'] = async (asked, stop) => {
      reads += 1;
      // Without an end of its own, 50 ** 8 reads would be no failure but a hang.
      if (reads > 100) throw new Error('read again and again');
      return indexes.get(asked.digest) ?? from.readBytes(asked, stop);
    };
    const converted = await convertImage(top, { from: { ...from, readBytes }, format: 'oci', signal });
    expect(reads).toBe(9);
    expect(converted.top).toEqual(top);
    const docker = await convertImage(top, { from: { ...from, readBytes }, format: 'docker', signal });
    expect(docker.top.mediaType).toBe(MEDIA_TYPE.dockerIndex);
  });

  it('refuses what is no image when Docker shall have it', async () => {
    const { top, from, read } = made();
    const [attestation] = (await read(from, top)).index.manifests as [Descriptor];
    await expect(convertImage(attestation, { from, format: 'docker', signal })).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
    });
  });
});

describe('choosePlatform()', () => {
  it('names what there is when the platform is missing', async () => {
    const { top, from, image } = made();
    const chosen = await choosePlatform(top, from, { platform: 'linux/arm64', signal });
    expect(chosen.digest).toBe(image.digest);
    await expect(choosePlatform(top, from, { platform: 'linux/s390x', signal })).rejects.toMatchObject({
      code: 'IMAGE_PLATFORM_MISSING',
      message: expect.stringMatching(/linux\/s390x: it has linux\/arm64$/),
    });
  });
});
