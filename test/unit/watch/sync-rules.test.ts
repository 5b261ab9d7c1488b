import { describe, expect, it } from 'vitest';
import { parseSyncRule, planSync } from '../../../src/watch/sync-rules.ts';

describe('parseSyncRule()', () => {
  it('reads a path from the current directory and one in the container', () => {
    const read = (text: string) => parseSyncRule(text, { cwd: '/p', restart: false });
    expect(read('./src:/app/')).toEqual({ source: '/p/src', target: '/app', restart: false });
    expect(read('a:b:/')).toEqual({ source: '/p/a:b', target: '/', restart: false });
  });

  it.each(['src', ':/app', 'src:app', 'src:'])('refuses "%s"', (text) => {
    expect(() => parseSyncRule(text, { cwd: '/p', restart: true })).toThrow(/--sync-restart/);
  });
});

describe('planSync()', () => {
  const rules = {
    sync: [
      { source: '/p', target: '/app', restart: false },
      { source: '/p/conf', target: '/etc/app', restart: true },
    ],
    rebuild: ['/p/package.json', '/p/conf/build'],
  };

  it('takes the rule with the longest path', () => {
    expect(planSync(['/p/src/a', '/p/conf'], rules)).toEqual({
      copies: [
        { source: '/p/src/a', target: '/app/src/a' },
        { source: '/p/conf', target: '/etc/app' },
      ],
      restart: true,
      build: [],
    });
  });

  it('builds what no rule covers and what a rule wants built', () => {
    const changed = ['/p/package.json', '/q/a', '/p/conf/build/x', '/p/a'];
    expect(planSync(changed, rules)).toEqual({
      copies: [{ source: '/p/a', target: '/app/a' }],
      restart: false,
      build: ['/p/package.json', '/q/a', '/p/conf/build/x'],
    });
  });

  it('copies below the root when that is the target', () => {
    const { copies } = planSync(['/p/a'], {
      sync: [{ source: '/p', target: '/', restart: false }],
      rebuild: [],
    });
    expect(copies).toEqual([{ source: '/p/a', target: '/a' }]);
  });
});
