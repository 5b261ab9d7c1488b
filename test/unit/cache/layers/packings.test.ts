import { expect, it } from 'vitest';
import { createPackings } from '../../../../src/cache/layers/packings.ts';
import type { LayerBlob } from '../../../../src/cache/types.ts';
import { digestBytes } from '../../../../src/image/digest.ts';
import { MEDIA_TYPE } from '../../../../src/image/types.ts';

const blobOf = (text: string): LayerBlob => ({
  descriptor: { mediaType: MEDIA_TYPE.layerGzip, digest: digestBytes(text), size: text.length },
  diffId: digestBytes(`diff ${text}`),
  path: `/blobs/${text}`,
});

it('createPackings() forgets what two builds in a row did not ask for, and keeps the rest', () => {
  const packings = createPackings({ stat: (digest) => (digest === digestBytes('kept') ? 4 : 5) });
  packings.set('a', blobOf('kept'));
  packings.set('b', blobOf('other'));
  for (let build = 0; build < 3; build += 1) {
    packings.rest();
    expect(packings.get('a')).toEqual(blobOf('kept'));
  }
  expect(packings.get('b')).toBeUndefined();
  packings.clear();
  expect(packings.get('a')).toBeUndefined();
});

it('createPackings() does not give a blob when its bytes are gone or are others', () => {
  let size: number | undefined = 4;
  const packings = createPackings({ stat: () => size });
  packings.set('a', blobOf('kept'));
  expect(packings.get('a')).toEqual(blobOf('kept'));
  for (size of [3, undefined]) expect(packings.get('a')).toBeUndefined();
});
