import { describe, expect, it } from 'vitest';
import { describeChanges, describeCycle, describeNotice } from '../../../src/watch/describe.ts';

describe('describeChanges()', () => {
  it('names a few paths and counts the rest', () => {
    expect(describeChanges(['/p/a'], '/p')).toBe('a changed');
    expect(describeChanges(['/p/a', '/p/b', '/p/a', '/p', '/q/c'], '/p')).toBe('a, b, ../q/c changed');
    expect(describeChanges(['/p'], '/p')).toBe('. changed');
    expect(describeChanges(['/p/1', '/p/2', '/p/3', '/p/4', '/p/5'], '/p')).toBe(
      '1, 2, 3 and 2 more changed',
    );
  });
});

describe('describeCycle()', () => {
  it('tells the digest, the time and what ran', () => {
    const result = {
      digest: `sha256:${'a'.repeat(64)}`,
      config: { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } },
      names: [],
      cachedSteps: 2,
      totalSteps: 3,
    } as const;
    const cycle = { number: 2, changed: [], rebuilt: ['[3/3] COPY . .'], ms: 123, result };
    expect(describeCycle(cycle)).toBe('sha256:aaaaaaaaaaaa in 0.12 s: ran [3/3] COPY . .; 2 of 3 cached');
    expect(describeCycle({ ...cycle, rebuilt: [] })).toContain('every step was cached');
    const { result: _, ...failed } = cycle;
    expect(describeCycle({ ...failed, error: new Error('x') })).toContain('the last good image stays');
  });
});

describe('describeNotice()', () => {
  it('says how to raise the limit when there are too few watches', () => {
    const error = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const text = describeNotice({ kind: 'polling', error, everyMs: 2000 }, '/p');
    expect(text).toContain('fs.inotify.max_user_watches');
    expect(text).toContain('every 2 s');
  });
});
