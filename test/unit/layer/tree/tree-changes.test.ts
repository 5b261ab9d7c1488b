import { describe, expect, it } from 'vitest';
import { treeChanges } from '../../../../src/layer/tree/tree-changes.ts';
import type { EntryType } from '../../../../src/layer/types.ts';
import { entryOf } from '../../../support/layers.ts';

const file = (path: string, digit = '1') => entryOf(path, 'file', { digest: `sha256:${digit.repeat(64)}` });
const dir = (path: string) => entryOf(path, 'dir');

describe('treeChanges()', () => {
  it('holds what changed and the way to it when the rest stays', () => {
    const before = [dir('d'), file('d/a'), file('d/b'), dir('e'), file('e/c')];
    const after = [dir('d'), file('d/a'), file('d/b', '2'), dir('e'), file('e/c')];
    expect(treeChanges(before, after)).toEqual([dir('d'), file('d/b', '2')]);
  });

  it('has one mark for a directory that is gone', () => {
    const before = [dir('d'), dir('d/e'), file('d/e/a'), file('d/e/b')];
    expect(treeChanges(before, [dir('d')])).toEqual([dir('d'), entryOf('d/e', 'whiteout', { mode: 0 })]);
  });

  it('takes a file of unknown content for a changed one', () => {
    const unknown = entryOf('a', 'file');
    expect(treeChanges([unknown], [unknown])).toEqual([unknown]);
  });

  it.each<EntryType>(['hardlink', 'whiteout', 'opaque'])('is undefined when a tree has a %s', (type) => {
    const tree = [file('a'), entryOf('b', type)];
    expect(treeChanges(tree, [file('a')])).toBeUndefined();
    expect(treeChanges([file('a')], tree)).toBeUndefined();
  });
});
