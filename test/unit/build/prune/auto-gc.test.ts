import { existsSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gcIntervalMs, readGcOptions, startGcIfDue } from '../../../../src/build/prune/auto-gc.ts';
import { tempDir } from '../../cache/temp-store.ts';

describe('readGcOptions()', () => {
  it('reads variables; options come first', () => {
    const env = {
      OCIBUILD_GC_MAX_USED_SPACE: '10%',
      OCIBUILD_GC_INTERVAL: '1h',
      OCIBUILD_GC_RESERVED_SPACE: '',
    };
    expect(readGcOptions(undefined, env, 1000)).toEqual({ maxUsedSpace: 100, intervalMs: 3_600_000 });
    expect(readGcOptions({ maxUsedSpace: 5 }, env, 1000)).toEqual({ maxUsedSpace: 5, intervalMs: 3_600_000 });
    expect(readGcOptions(undefined, {}, 1000)).toEqual({});
  });

  it('gives nothing where it is off', () => {
    expect(readGcOptions(false, {}, 1000)).toBeUndefined();
    expect(readGcOptions({}, { OCIBUILD_GC: 'off' }, 1000)).toBeUndefined();
  });

  it('refuses what it cannot read, with the name of the variable', () => {
    const read = () => readGcOptions(undefined, { OCIBUILD_GC_MIN_FREE_SPACE: 'much' }, 1000);
    expect(read).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    expect(read).toThrow('OCIBUILD_GC_MIN_FREE_SPACE "much"');
  });
});

describe('gcIntervalMs()', () => {
  it.each([
    [{}, 500, 600_000],
    [{}, 99, 60_000],
    [{ intervalMs: 1000 }, 99, 1000],
    [{ intervalMs: 3_600_000 }, 99, 60_000],
    [{ intervalMs: 3_600_000 }, 100, 3_600_000],
  ])('of %j is shorter where of 1000 bytes %i are free', (options, free, ms) => {
    expect(gcIntervalMs(options, { total: 1000, free })).toBe(ms);
  });
});

describe('startGcIfDue()', () => {
  it('only marks a new store, and leaves the mark alone until the interval is over', () => {
    const root = tempDir();
    startGcIfDue(root, undefined, {});
    expect(existsSync(join(root, 'gc'))).toBe(false);
    writeFileSync(join(root, 'index.json'), '{}');
    startGcIfDue(root, undefined, {});
    const mark = join(root, 'gc');
    expect(statSync(mark).size).toBeGreaterThan(0);
    const [then] = [new Date(Date.now() - 30_000)];
    utimesSync(mark, then, then);
    startGcIfDue(root, undefined, {});
    expect(statSync(mark).mtimeMs).toBe(then.getTime());
    utimesSync(mark, 1, 1);
    startGcIfDue(root, false, {});
    expect(statSync(mark).mtimeMs).toBe(1000);
  });
});
