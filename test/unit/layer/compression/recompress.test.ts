import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Descriptor, MEDIA_TYPE, type TarCompression } from '../../../../src/image/types.ts';
import { recompress } from '../../../../src/layer/compression/recompress.ts';
import { createScratch, decompressed, type Scratch, sha256 } from '../../../support/layers.ts';

const signal = new AbortController().signal;
const TYPES = {
  gzip: MEDIA_TYPE.layerGzip,
  zstd: MEDIA_TYPE.layerZstd,
  uncompressed: MEDIA_TYPE.layerTar,
} as const;

async function packed(scratch: Scratch, compression: TarCompression) {
  const layer = await scratch.pack([scratch.file('f', 'hello '.repeat(10_000))], { compression });
  const from: Descriptor = { mediaType: TYPES[compression], digest: layer.digest, size: layer.size };
  return { from, source: layer.blob, diffId: layer.diffId };
}

describe('recompress()', () => {
  const all = ['gzip', 'zstd', 'uncompressed'] as const;
  it.each(all.flatMap((a) => all.map((b) => [a, b] as const)))(
    'from %s to %s keeps the tar to the byte',
    async (a, b) => {
      using scratch = createScratch();
      const { from, source, diffId } = await packed(scratch, a);
      const dest = scratch.path('dest');
      const descriptor = await recompress(source, dest, { from, compression: b, signal });
      const bytes = readFileSync(dest);
      expect(descriptor).toEqual({ mediaType: TYPES[b], digest: sha256(bytes), size: bytes.length });
      expect(sha256(decompressed(bytes))).toBe(diffId);
    },
  );

  it('takes Docker’s media types', async () => {
    using scratch = createScratch();
    const { from, source } = await packed(scratch, 'gzip');
    const mediaType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    const options = { from: { ...from, mediaType }, compression: 'zstd', signal } as const;
    expect(await recompress(source, scratch.path('dest'), options)).toMatchObject({
      mediaType: MEDIA_TYPE.layerZstd,
    });
  });

  it('packs harder at a higher level', async () => {
    using scratch = createScratch();
    const { from, source } = await packed(scratch, 'uncompressed');
    const sizeAt = async (level: number) => {
      const dest = scratch.path(`level-${level}`);
      await recompress(source, dest, { from, compression: 'gzip', level, signal });
      return statSync(dest).size;
    };
    expect(await sizeAt(9)).toBeLessThan(await sizeAt(1));
  });

  it('throws BLOB_DIGEST_MISMATCH, and leaves nothing, when the source is another blob', async () => {
    using scratch = createScratch();
    const { from, source } = await packed(scratch, 'gzip');
    writeFileSync(source, gzipSync('something else'));
    const dest = scratch.path('dest');
    await expect(recompress(source, dest, { from, compression: 'zstd', signal })).rejects.toMatchObject({
      code: 'BLOB_DIGEST_MISMATCH',
      details: { digest: from.digest },
    });
    expect(existsSync(dest)).toBe(false);
  });

  it('names the blob, and leaves nothing, when the source is cut or no archive', async () => {
    using scratch = createScratch();
    const { from, source } = await packed(scratch, 'gzip');
    const whole = readFileSync(source);
    for (const bytes of [whole.subarray(0, whole.length - 20), Buffer.from('plain text')]) {
      writeFileSync(source, bytes);
      const dest = scratch.path('dest');
      await expect(recompress(source, dest, { from, compression: 'zstd', signal })).rejects.toMatchObject({
        code: 'BLOB_DIGEST_MISMATCH',
        details: { digest: from.digest },
      });
      expect(existsSync(dest)).toBe(false);
    }
  });

  it('throws CANCELLED, and leaves nothing, when the signal fires', async () => {
    using scratch = createScratch();
    const { from, source } = await packed(scratch, 'gzip');
    const dest = scratch.path('dest');
    const options = { from, compression: 'zstd', signal: AbortSignal.abort() } as const;
    await expect(recompress(source, dest, options)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(existsSync(dest)).toBe(false);
  });

  it('leaves a file alone when it stands at the destination already', async () => {
    using scratch = createScratch();
    const { from, source } = await packed(scratch, 'gzip');
    const dest = scratch.path('taken');
    writeFileSync(dest, 'mine');
    await expect(recompress(source, dest, { from, compression: 'zstd', signal })).rejects.toMatchObject({
      code: 'SYSCALL_FAILED',
    });
    expect(readFileSync(dest, 'utf8')).toBe('mine');
  });
});
