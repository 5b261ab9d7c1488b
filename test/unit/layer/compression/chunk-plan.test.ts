import { describe, expect, it } from 'vitest';
import { type Chunk, chunkKey, planChunks } from '../../../../src/layer/compression/chunk-plan.ts';
import type { Tree } from '../../../../src/layer/types.ts';
import { entryOf, sha256 } from '../../../support/layers.ts';

const LIMITS = { min: 64 << 10, max: 256 << 10 };

function treeOf(count: number, skip = -1): Tree {
  return Array.from({ length: count }, (_, i) =>
    entryOf(`dir/file-${String(i).padStart(4, '0')}`, 'file', { size: 9000, digest: sha256(`${i}`) }),
  ).filter((_, i) => i !== skip);
}

function keysOf(tree: Tree): (string | undefined)[] {
  return [...planChunks(tree, LIMITS)].map((chunk) => chunkKey(chunk, (i) => tree[i]?.digest));
}

describe('planChunks()', () => {
  it('covers every byte once when entries are small, large and empty', () => {
    const tree = [
      ...treeOf(50),
      entryOf('e', 'file'),
      entryOf('f', 'file', { size: 1_000_001 }),
      entryOf('g', 'dir'),
    ];
    const chunks = [...planChunks(tree, LIMITS)];
    const large = chunks.filter((chunk) => chunk.entries[0]?.path === 'f');
    expect(large.map((chunk) => chunk.start)).toEqual([0, 1, 2, 3].map((i) => i * LIMITS.max));
    expect(large.map((chunk) => chunk.complete)).toEqual([false, false, false, true]);
    expect(sum(large)).toBe(512 + 1_000_448);
    expect(sum(chunks)).toBe(50 * (512 + 9216) + 512 + 512 + 1_000_448 + 512);
    expect(Math.max(...chunks.map((chunk) => chunk.size))).toBeLessThanOrEqual(LIMITS.max);
  });

  it('changes few chunks when one of many entries goes', () => {
    const before = new Set(keysOf(treeOf(2000)));
    const after = keysOf(treeOf(2000, 1000));
    expect(before.size).toBeGreaterThan(70);
    expect(after.filter((key) => !before.has(key)).length).toBeLessThanOrEqual(4);
  });
});

describe('chunkKey()', () => {
  it('is undefined when a digest is not known', () => {
    const [chunk] = [...planChunks(treeOf(3), LIMITS)];
    expect(chunkKey(chunk!, (i) => (i === 1 ? undefined : sha256('x')))).toBeUndefined();
  });

  it('differs when only a header differs', () => {
    const tree = treeOf(3);
    const touched = tree.map((entry, i) => (i === 1 ? { ...entry, mtimeSec: 7 } : entry));
    expect(keysOf(touched)).not.toEqual(keysOf(tree));
  });
});

function sum(chunks: readonly Chunk[]): number {
  return chunks.reduce((total, chunk) => total + chunk.size, 0);
}
