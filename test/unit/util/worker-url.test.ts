import { describe, expect, it } from 'vitest';
import { workerUrl } from '../../../src/util/worker-url.ts';

describe('workerUrl()', () => {
  it('gives the source beside the caller when that is source', () => {
    const url = workerUrl('file:///repo/src/layer/unpack-layer.ts', 'extract-worker.ts');
    expect(url.href).toBe('file:///repo/src/layer/extract-worker.ts');
  });

  it('gives the entry in the flat folder when the caller is a chunk of the bundle', () => {
    expect(workerUrl('file:///repo/dist/chunk-ABC.js', '../layer/extract-worker.ts').href).toBe(
      'file:///repo/dist/extract-worker.js',
    );
  });
});
