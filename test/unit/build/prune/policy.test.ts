import { describe, expect, it } from 'vitest';
import { parseDuration, parseFilters } from '../../../../src/build/prune/filters.ts';
import { chooseItems, choosePolicies, defaultPolicies } from '../../../../src/build/prune/policy.ts';
import { parseSpace } from '../../../../src/build/prune/sizes.ts';
import type { PrunePolicy, StoreItem } from '../../../../src/build/prune/types.ts';

const HOUR = 3_600_000;
const NOW = 10_000 * HOUR;
const MB = 1e6;

function item(id: string, about: Partial<StoreItem> & { readonly hours?: number } = {}): StoreItem {
  const { hours = 0, ...rest } = about;
  return {
    ...{ id, type: 'regular', description: `step ${id}`, bytes: 100, shared: false, inUse: false },
    ...{ reclaimable: true, mutable: false, createdMs: 0, usedMs: NOW - hours * HOUR, uses: 1, images: [] },
    target: { kind: 'snapshot', layer: id },
    ...rest,
  };
}

function chosen(items: readonly StoreItem[], policy: PrunePolicy, disk = { total: 1e9, free: 5e8 }) {
  return chooseItems(items, policy, { nowMs: NOW, disk }).map(({ id }) => id);
}

describe('chooseItems()', () => {
  it('takes everything that is not in use, shared or internal when nothing bounds it', () => {
    const items = [
      item('a'),
      item('shared', { shared: true }),
      item('record', { type: 'internal' }),
      item('used', { inUse: true, reclaimable: false }),
      item('image', { type: 'image', reclaimable: false }),
    ];
    expect(chosen(items, {})).toEqual(['a']);
    expect(chosen(items, { all: true })).toEqual(['a', 'shared', 'record']);
  });

  it('takes the longest unused first, then the less often used, then the larger, until it fits', () => {
    const items = [
      item('new', { hours: 1 }),
      item('often', { hours: 9, uses: 5 }),
      item('seldom', { hours: 9, uses: 1 }),
      item('large', { hours: 9, uses: 1, bytes: 150 }),
      item('oldest', { hours: 10 }),
    ];
    expect(chosen(items, { maxUsedSpace: 450 })).toEqual(['oldest']);
    expect(chosen(items, { maxUsedSpace: 300 })).toEqual(['oldest', 'large']);
    expect(chosen(items, { maxUsedSpace: 0 })).toEqual(['oldest', 'large', 'seldom', 'often', 'new']);
    expect(chosen(items, { maxUsedSpace: 550 })).toEqual([]);
  });

  it('counts what it cannot take', () => {
    const items = [item('pinned', { bytes: 900, reclaimable: false }), item('a'), item('b')];
    expect(chosen(items, { maxUsedSpace: 1000 })).toEqual(['a']);
    expect(chosen(items, { maxUsedSpace: 500 })).toEqual(['a', 'b']);
  });

  it('makes room on the disk, but never goes below the reserve', () => {
    const items = [item('a', { hours: 3 }), item('b', { hours: 2 }), item('c', { hours: 1 })];
    const disk = { total: 1000, free: 50 };
    expect(chosen(items, { minFreeSpace: 200 }, disk)).toEqual(['a', 'b']);
    expect(chosen(items, { minFreeSpace: 200, reservedSpace: 250 }, disk)).toEqual(['a']);
    expect(chosen(items, { minFreeSpace: 40 }, disk)).toEqual([]);
    expect(chosen(items, { reservedSpace: 150 }, disk)).toEqual(['a', 'b']);
  });

  it('keeps what was used within the time to keep', () => {
    const items = [item('old', { hours: 49 }), item('new', { hours: 47 })];
    expect(chosen(items, { keepDurationMs: 48 * HOUR })).toEqual(['old']);
    expect(chosen(items, { keepDurationMs: 48 * HOUR, maxUsedSpace: 0 })).toEqual(['old']);
  });
});

describe('defaultPolicies()', () => {
  it('are those of BuildKit', () => {
    const caps = { reservedSpace: 10e9, maxUsedSpace: 100e9, minFreeSpace: 200e9 };
    const [first, ...rest] = defaultPolicies({ total: 1e12, free: 1e12 });
    expect(first).toMatchObject({ keepDurationMs: 48 * HOUR, maxUsedSpace: 512 * MB });
    expect(rest).toEqual([{ ...caps, keepDurationMs: 60 * 24 * HOUR }, caps, { ...caps, all: true }]);
    expect(defaultPolicies({ total: 50e9, free: 0 })[2]).toEqual({
      reservedSpace: 5e9,
      maxUsedSpace: 40e9,
      minFreeSpace: 10e9,
    });
  });

  it('take old caches beyond 512 MB, and of the rest only what is over the budget', () => {
    const items = [
      item('mount old', { type: 'exec.cachemount', bytes: 300 * MB, hours: 60 }),
      item('mount new', { type: 'exec.cachemount', bytes: 300 * MB, hours: 1 }),
      item('layer old', { bytes: 300 * MB, hours: 60 }),
      item('layer shared', { bytes: 300 * MB, hours: 70, shared: true }),
      item('layer new', { bytes: 300 * MB }),
    ];
    const go = (maxUsedSpace: number): string[] => {
      const disk = { total: 1e12, free: 1e12 };
      const policies = defaultPolicies(disk, { maxUsedSpace, reservedSpace: 0 });
      return choosePolicies(items, policies, { nowMs: NOW, disk }).map(({ id }) => id);
    };
    expect(go(10e9)).toEqual(['mount old']);
    expect(go(1000 * MB)).toEqual(['mount old', 'layer old']);
    expect(go(400 * MB)).toEqual(['mount old', 'layer old', 'mount new', 'layer new']);
    expect(go(100 * MB)).toHaveLength(5);
  });
});

describe('parseFilters()', () => {
  const mount = item('m1', { type: 'exec.cachemount', cacheMount: 'npm', mutable: true, hours: 30 });
  const image = item('sha256:abcdef', { images: ['app:latest'], shared: true });
  const step = item('run-123456:snapshot', {
    ...{ form: 'snapshot', layer: 'run-123456', description: '[a 1/2] RUN make', hours: 2 },
  });
  const matching = (...filters: string[]): string[] =>
    [mount, image, step].filter(parseFilters(filters, NOW)).map(({ id }) => id);

  it.each([
    [['type=exec.cachemount'], ['m1']],
    [['type=exec.cachemount,source.local'], ['m1']],
    [['type!=exec.cachemount'], ['sha256:abcdef', 'run-123456:snapshot']],
    [['cache-mount=npm'], ['m1']],
    [['image=app'], ['sha256:abcdef']],
    [['id=abcdef'], ['sha256:abcdef']],
    [['id=run-1234'], ['run-123456:snapshot']],
    [['id=1234'], ['run-123456:snapshot']],
    [['id~=^run-123456$'], ['run-123456:snapshot']],
    [['id~=^run'], ['run-123456:snapshot']],
    [['description~=make$'], ['run-123456:snapshot']],
    [['description~=(?i)MAKE$'], ['run-123456:snapshot']],
    [['description=step m1'], ['m1']],
    [['until=24h'], ['m1']],
    [['unused-for=1h30m'], ['m1', 'run-123456:snapshot']],
    [['shared'], ['sha256:abcdef']],
    [['private'], ['m1', 'run-123456:snapshot']],
    [['mutable=true'], ['m1']],
    [['immutable'], ['sha256:abcdef', 'run-123456:snapshot']],
    [['inuse=false', 'form=snapshot'], ['run-123456:snapshot']],
    [['inuse'], []],
    [
      ['id=m1', 'id=abcdef'],
      ['m1', 'sha256:abcdef'],
    ],
    [['type!=regular', 'type!=exec.cachemount'], []],
    [['type=frontend'], []],
  ])('finds %j', (filters, found) => {
    expect(matching(...filters)).toEqual(found);
  });

  it.each([
    ['tpye=x', 'did you mean "type"'],
    ['type=exec.cachemounts', 'did you mean "exec.cachemount"'],
    ['parents=run-1', 'description~='],
    ['until', 'filters:'],
    ['inuse=maybe', undefined],
    ['until=soon', undefined],
    ['id~=(', undefined],
    ['', 'filters:'],
  ])('refuses "%s"', (filter, hint) => {
    expect(() => parseFilters([filter], NOW)).toThrow(
      expect.objectContaining({
        code: 'USAGE_INVALID',
        ...(hint === undefined ? {} : { hint: expect.stringContaining(hint) }),
      }),
    );
  });
});

describe('parseDuration() and parseSpace()', () => {
  it('read what people write', () => {
    expect(['24h', '1h30m', '7d', '90', '500ms'].map((text) => parseDuration('x', text))).toEqual([
      24 * HOUR,
      1.5 * HOUR,
      168 * HOUR,
      90_000,
      500,
    ]);
    expect(['10%', '20GB', '512m', '1.5GiB', '7'].map((text) => parseSpace('x', text, 1000))).toEqual([
      100,
      20 * 2 ** 30,
      512 * 2 ** 20,
      1.5 * 2 ** 30,
      7,
    ]);
  });

  it.each(['110%', 'much', '-1', '5x'])('refuses "%s"', (text) => {
    expect(() => parseSpace('x', text, 1000)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
  });
});
