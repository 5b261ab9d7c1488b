import { expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/layer/types.ts';
import { changedFiles } from '../../../src/solver/ops/changed-files.ts';

const file = (path: string, facts: Partial<TreeEntry> = {}): TreeEntry => ({
  path,
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 1,
  mtimeSec: 0,
  digest: 'sha256:a',
  ...facts,
});

it('changedFiles() names what was changed, added and removed', () => {
  const before = [file('same'), file('edited'), file('mode'), file('removed')];
  const after = [
    file('same', { mtimeSec: 9 }),
    file('edited', { digest: 'sha256:b' }),
    file('mode', { mode: 0o755 }),
    file('added'),
  ];
  expect(changedFiles(before, after)).toEqual([
    '/edited changed',
    '/mode: mode 644 → 755',
    '/added added',
    '/removed removed',
  ]);
});

it('changedFiles() counts the rest when there are many', () => {
  const many = Array.from({ length: 8 }, (_, i) => file(`f${i}`));
  expect(changedFiles([], many)).toHaveLength(6);
  expect(changedFiles([], many).at(-1)).toBe('and 3 more');
});
