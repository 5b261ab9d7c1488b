import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hashTree } from '../../../../src/layer/tree/hash-tree.ts';
import { createScratch, entryOf, sha256 } from '../../../support/layers.ts';

describe('hashTree()', () => {
  it('fills in digests when files are empty, small and larger than its buffer', async () => {
    using scratch = createScratch();
    const large = Buffer.alloc(2_500_000, 'abc');
    const tree = [
      scratch.file('a', ''),
      scratch.file('b', 'text'),
      scratch.file('c', large),
      entryOf('d', 'dir'),
    ];
    const hashed = await hashTree(tree, scratch.content);
    expect(hashed.map((entry) => entry.digest)).toEqual([
      sha256(''),
      sha256('text'),
      sha256(large),
      undefined,
    ]);
  });

  it('reads nothing when the digest is known', async () => {
    const tree = [entryOf('a', 'file', { size: 3, digest: sha256('abc') })];
    expect(await hashTree(tree, () => ({ path: '/nowhere' }))).toEqual(tree);
  });

  it('throws CONTEXT_CHANGED when a file grew', async () => {
    using scratch = createScratch();
    const file = scratch.file('a', 'x');
    writeFileSync(scratch.content(file).path, 'xy');
    await expect(hashTree([file], scratch.content)).rejects.toMatchObject({ code: 'CONTEXT_CHANGED' });
  });
});
