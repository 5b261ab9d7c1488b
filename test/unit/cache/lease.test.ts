import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createContentStore } from '../../../src/cache/content-store.ts';
import { createImageIndex } from '../../../src/cache/image-index.ts';
import { createLayerRows } from '../../../src/cache/layers/layer-rows.ts';
import { createLease, leaseHorizon } from '../../../src/cache/lease.ts';
import { digestBytes } from '../../../src/image/digest.ts';
import { MEDIA_TYPE } from '../../../src/image/types.ts';
import { tempStore } from './temp-store.ts';

async function setUp() {
  const { root, db } = await tempStore();
  const lease = createLease(db);
  const uses = () => db.all('SELECT digest, uses FROM blob_uses ORDER BY digest');
  return { root, db, lease, uses };
}

function clock(ms: number): void {
  vi.useFakeTimers({ now: ms, toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
}

describe('leaseHorizon()', () => {
  it('is the beginning of the oldest lease, and infinite without any', async () => {
    const { db, lease } = await setUp();
    expect(leaseHorizon(db)).toBe(Number.POSITIVE_INFINITY);
    clock(1000);
    lease.now();
    clock(2000);
    const second = createLease(db);
    second.now();
    expect(leaseHorizon(db)).toBe(1000);
    lease.end();
    expect(leaseHorizon(db)).toBe(2000);
    second.end();
    expect(leaseHorizon(db)).toBe(Number.POSITIVE_INFINITY);
  });

  it('drops leases of dead processes', async () => {
    const { db } = await setUp();
    db.run("INSERT INTO leases(token, pid, start_time, started_ms) VALUES('t', 1, '999999999999', 5)");
    expect(leaseHorizon(db)).toBe(Number.POSITIVE_INFINITY);
    expect(db.all('SELECT * FROM leases')).toEqual([]);
  });
});

describe('createLease()', () => {
  it('marks a layer and others with the same content, once a lease', async () => {
    const { db, lease } = await setUp();
    const rows = createLayerRows(db, { now: () => 1 });
    const diffId = digestBytes('tar');
    for (const id of ['run-a', 'run-b'] as const) rows.put(id, { diffId });
    rows.put('run-c', {});
    clock(5000);
    lease.layers(['run-a', 'run-missing']);
    lease.layers(['run-a']);
    const seen = () => rows.list().map(({ id, usedMs, uses }) => [id, usedMs, uses]);
    expect(seen()).toEqual([
      ['run-a', 5000, 1],
      ['run-b', 5000, 0],
      ['run-c', 1, 0],
    ]);
    lease.end();
    clock(6000);
    lease.layers(['run-a']);
    expect(seen()[0]).toEqual(['run-a', 6000, 2]);
  });

  it('never marks before its own beginning when the clock was set back', async () => {
    const { lease } = await setUp();
    clock(9000);
    lease.now();
    clock(10);
    expect(lease.now()).toBe(9000);
  });

  it('is asked before a blob is said to be there, and not for one that is absent', async () => {
    const { root, lease, uses } = await setUp();
    const content = createContentStore(root, { lease });
    expect(content.stat(digestBytes('absent'))).toBeUndefined();
    const { digest } = createContentStore(root).putBytes(Buffer.from('x'));
    expect([content.peek(digest), uses()]).toEqual([1, []]);
    expect(content.stat(digest)).toBe(1);
    content.putBytes(Buffer.from('x'));
    expect(uses()).toEqual([{ digest, uses: 1 }]);
  });

  it('marks what loses its last name', async () => {
    const { root, db, lease, uses } = await setUp();
    const index = createImageIndex(root, db, { onUnnamed: lease.blob });
    const descriptor = { mediaType: MEDIA_TYPE.manifest, digest: digestBytes('m'), size: 1 };
    index.set('app:a', descriptor);
    index.set('app:b', descriptor);
    index.remove('app:a');
    expect(uses()).toEqual([]);
    index.remove('app:b');
    expect(uses()).toEqual([{ digest: descriptor.digest, uses: 1 }]);
  });
});
