import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createCompressor, GZIP_LEVEL } from '../../../../src/layer/compression/compressor.ts';

/** Bytes that nothing shrinks, the same in every run. */
function noise(blocks: number): Buffer {
  return Buffer.concat(
    Array.from({ length: blocks }, (_, i) => createHash('sha256').update(`${i}`).digest()),
  );
}

describe('createCompressor', () => {
  const { compress } = createCompressor('gzip');

  it('compress() stores a chunk when none of its samples shrinks', async () => {
    const chunk = noise(16_384);
    const member = await compress(chunk);
    expect(member).toEqual(await compress(Buffer.from(chunk)));
    // Deflate writes stored blocks too where it finds nothing, but more and smaller ones.
    expect(member.length - chunk.length).toBeLessThan(18 + 5 * Math.ceil(chunk.length / 32_768));
    expect(gunzipSync(member).equals(chunk)).toBe(true);
  });

  it('compress() deflates a chunk when one part of it shrinks', async () => {
    const chunk = Buffer.concat([noise(14_336), Buffer.alloc(65_536, 'text ')]);
    const member = await compress(chunk);
    expect(member.length).toBeLessThan(chunk.length - 60_000);
    expect(gunzipSync(member).equals(chunk)).toBe(true);
  });

  it('compress() deflates a small chunk as zlib does', async () => {
    const chunk = noise(100);
    const expected = gzipSync(chunk, { level: GZIP_LEVEL });
    expected[9] = 255;
    expect((await compress(chunk)).equals(expected)).toBe(true);
  });
});
