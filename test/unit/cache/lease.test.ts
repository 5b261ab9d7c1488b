import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createContentStore } from '../../../src/cache/content-store.ts';
import { createImageIndex } from '../../../src/cache/image-index.ts';
import { createLayerRows } from '../../../src/cache/layers/layer-rows.ts';
import { beginPruning, createLease, readLeases } from '../../../src/cache/lease.ts';
import { digestBytes } from '../../../src/image/digest.ts';
import { MEDIA_TYPE } from '../../../src/image/types.ts';
import { tempStore } from './temp-store.ts';

async function setUp() {
  const { root, db } = await tempStore();
  const lease = createLease(root, db);
  onTestFinished(lease.end);
  const uses = () => db.all('SELECT digest, uses FROM blob_uses ORDER BY digest');
  return { root, db, lease, uses };
}

function clock(ms: number): void {
  vi.useFakeTimers({ now: ms, toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
}

describe('readLeases()', () => {
  it('gives the beginning of the oldest lease, and infinity without any', async () => {
    const { root, db, lease } = await setUp();
    const horizon = () => readLeases(root).horizon;
    expect(horizon()).toBe(Number.POSITIVE_INFINITY);
    clock(1000);
    lease.now();
    clock(2000);
    const second = createLease(root, db);
    second.now();
    expect(horizon()).toBe(1000);
    lease.end();
    expect(horizon()).toBe(2000);
    second.end();
    expect(horizon()).toBe(Number.POSITIVE_INFINITY);
  });

  it('gives what leases list, until they end', async () => {
    const { root, lease } = await setUp();
    const digest = digestBytes('x');
    lease.layers(['run-a', 'run-b']);
    lease.layers(['run-a', 'run-c']);
    lease.blob(digest);
    expect([...readLeases(root).names]).toEqual(['run-a', 'run-b', 'run-c', digest]);
    lease.end();
    expect(readLeases(root).names.size).toBe(0);
    lease.layers(['run-a']);
    expect(readLeases(root).names).toContain('run-a');
  });

  it('drops leases of dead processes', async () => {
    const { root } = await setUp();
    const file = join(root.dir, 'leases/1-999999999999-abc');
    mkdirSync(join(root.dir, 'leases'));
    writeFileSync(file, '5\nrun-a\n');
    expect(readLeases(root)).toEqual({ horizon: Number.POSITIVE_INFINITY, names: new Set() });
    expect(existsSync(file)).toBe(false);
  });
});

describe('beginPruning()', () => {
  it('makes a lease that is written meanwhile wait for the transaction', async () => {
    const { root, db } = await setUp();
    const taken: string[] = [];
    const transaction = <T>(body: () => T): T => {
      taken.push('waited');
      return db.transaction(body);
    };
    const spied = { ...db, transaction };
    const lease = createLease(root, spied);
    onTestFinished(lease.end);
    lease.layers(['run-a']);
    expect(taken).toEqual([]);
    {
      using _flag = beginPruning(root);
      lease.layers(['run-a']);
      expect(taken).toEqual([]);
      lease.layers(['run-b']);
      expect(taken).toEqual(['waited']);
    }
    lease.layers(['run-c']);
    expect(taken).toEqual(['waited']);
  });
});

describe('createLease()', () => {
  it('notes the use of a layer once an hour', async () => {
    const { db, lease } = await setUp();
    const rows = createLayerRows(db, { now: () => 1 });
    rows.put('run-a', {});
    const hour = 3_600_000;
    clock(hour);
    lease.layers(['run-a', 'run-missing']);
    expect(rows.get('run-a')).toMatchObject({ usedMs: 1, uses: 0 });
    lease.end();
    clock(hour + 10);
    lease.layers(['run-a']);
    expect(rows.get('run-a')).toMatchObject({ usedMs: hour + 10, uses: 1 });
  });

  it('never gives a time before its own beginning when the clock was set back', async () => {
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

  it('notes what loses its last name', async () => {
    const { root, db, lease, uses } = await setUp();
    const index = createImageIndex(root, db, { onUnnamed: lease.unnamed });
    const descriptor = { mediaType: MEDIA_TYPE.manifest, digest: digestBytes('m'), size: 1 };
    index.set('app:a', descriptor);
    index.set('app:b', descriptor);
    index.remove('app:a');
    expect(uses()).toEqual([]);
    index.remove('app:b');
    expect(uses()).toEqual([{ digest: descriptor.digest, uses: 1 }]);
  });
});
