import { describe, expect, it } from 'vitest';
import { digestBytes } from '../../../src/image/digest.ts';
import { type Descriptor, type Digest, MEDIA_TYPE } from '../../../src/image/types.ts';
import { copyImage } from '../../../src/transfer/copy-image.ts';
import type { ContentSource, ContentTarget } from '../../../src/transfer/types.ts';
import { noSignal as signal } from '../exporter/fixture.ts';

/** Documents in memory, with a note of how many were read at once. */
function memory() {
  const documents = new Map<Digest, Buffer>();
  const state = { now: 0, most: 0, put: 0 };
  const index = (manifests: readonly Descriptor[], note = ''): Descriptor => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests, annotations: { note } }));
    const digest = digestBytes(bytes);
    documents.set(digest, bytes);
    return { mediaType: MEDIA_TYPE.index, digest, size: bytes.length };
  };
  const from: ContentSource = {
    async readBytes({ digest }) {
      state.now++;
      state.most = Math.max(state.most, state.now);
      await new Promise((done) => setImmediate(done));
      state.now--;
      return documents.get(digest) ?? Buffer.of();
    },
    blob: () => ({ open: () => Promise.reject(new Error('there is none')), mountFrom: () => undefined }),
  };
  const to = {
    putBlob: () => Promise.reject(new Error('there is none')),
    putDocument: async () => void state.put++,
  } as unknown as ContentTarget;
  return { index, state, copy: (top: Descriptor) => copyImage(top, { from, to }, { signal }) };
}

describe('copyImage()', () => {
  it('follows nested indexes, but not without end', async () => {
    const { index, state, copy } = memory();
    let top = index([]);
    for (let depth = 0; depth < 7; depth++) top = index([top]);
    await copy(top);
    expect(state.put).toBe(8);
    for (let depth = 0; depth < 200; depth++) top = index([top]);
    await expect(copy(top)).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      message: expect.stringMatching(/nested more than 8 deep/),
    });
  });

  it('reads some documents at a time when an index has many', async () => {
    const { index, state, copy } = memory();
    await copy(index(Array.from({ length: 200 }, (_, i) => index([], String(i)))));
    expect(state).toEqual({ now: 0, most: 16, put: 201 });
  });

  it.each([
    { inOrder: false, order: [0, 3, 2, 1], of: 'a target that takes several at once' },
    { inOrder: true, order: [0, 1, 2, 3], of: 'an archive' },
  ])('asks $of for the blobs as $order when the config is 0', async ({ inOrder, order }) => {
    const blobs = [0, 1, 2, 3].map((i): Descriptor => {
      const mediaType = i === 0 ? MEDIA_TYPE.config : MEDIA_TYPE.layerGzip;
      return { mediaType, digest: digestBytes(Buffer.of(i)), size: 1 };
    });
    const [config, ...layers] = blobs;
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.manifest, config, layers }),
    );
    const top = { mediaType: MEDIA_TYPE.manifest, digest: digestBytes(bytes), size: bytes.length };
    const asked: number[] = [];
    const to: ContentTarget = {
      inOrder,
      putBlob: async ({ digest }) => {
        asked.push(blobs.findIndex((blob) => blob.digest === digest));
        return 'exists';
      },
      putDocument: async () => undefined,
    };
    const blob = () => ({
      open: () => Promise.reject(new Error('nothing is read')),
      mountFrom: () => undefined,
    });
    await copyImage(top, { from: { readBytes: async () => bytes, blob }, to }, { signal });
    expect(asked).toEqual(order);
  });
});
