import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sniffArchive } from '../../../../src/layer/compression/archive-sniff.ts';
import { foreignTar } from '../../../support/layers.ts';

describe('sniffArchive()', () => {
  it('knows an archive by its bytes when the name says nothing', async () => {
    const tar = await foreignTar([{ name: 'a', data: 'b' }]);
    expect(sniffArchive(tar)).toBe('tar');
    expect(sniffArchive(gzipSync(tar))).toBe('gzip');
    expect(sniffArchive(zstdCompressSync(tar))).toBe('zstd');
    expect(sniffArchive(Buffer.from('BZh91AY&SY'))).toBe('bzip2');
    expect(sniffArchive(Buffer.from('fd377a585a0000', 'hex'))).toBe('xz');
  });

  it.each([Buffer.alloc(0), Buffer.alloc(512), Buffer.alloc(600, 'text '), Buffer.from('ustar')])(
    'gives undefined when it is something else (%#)',
    (bytes) => expect(sniffArchive(bytes)).toBeUndefined(),
  );
});
