import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { collectRecords, recordsWithin } from '../../../../src/build/cache/collect.ts';
import { importCaches } from '../../../../src/build/cache/imported-caches.ts';
import { createSharedKeys } from '../../../../src/build/cache/shared-keys.ts';
import { createInternalSteps } from '../../../../src/build/internal-steps.ts';
import { CACHE_SALT } from '../../../../src/build/version.ts';
import { openDatabase } from '../../../../src/cache/database.ts';
import { createKeyStore } from '../../../../src/cache/key-store.ts';
import { createLayerRows } from '../../../../src/cache/layers/layer-rows.ts';
import type { LayerOrigin } from '../../../../src/cache/types.ts';
import { OcibuildError } from '../../../../src/errors/error.ts';
import type { Digest } from '../../../../src/image/types.ts';
import type { CacheConfig, CachedRecord, CacheImporter } from '../../../../src/remotecache/types.ts';
import type { ProgressEvent } from '../../../../src/solver/types.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const RUN = `run-${'a'.repeat(40)}`;
const HOME: LayerOrigin = { type: 'registry', name: 'reg.example/app:cache' };
const AWAY: LayerOrigin = { type: 'registry', name: 'other.example/app:cache' };

const record = (key: string, change: Partial<CachedRecord> = {}): CachedRecord => ({
  ...{ key: digest(key), kind: 'definition', layers: [RUN], name: 'RUN x', ingredients: [] },
  ...change,
});

const config = (records: readonly CachedRecord[], salt = CACHE_SALT): CacheConfig => ({
  salt,
  records,
  layers: [
    {
      id: RUN,
      diffId: digest('1'),
      descriptor: { mediaType: 'application/x+gzip', digest: digest('2'), size: 3 },
      createdMs: 1000,
    },
  ],
});

const importer = (name: string, config: CacheConfig, origin = HOME): CacheImporter => ({
  name,
  load: async () => [{ config, origin }],
});

async function setUp(...importers: readonly CacheImporter[]) {
  const events: ProgressEvent[] = [];
  const emit = (event: ProgressEvent): void => void events.push(event);
  const steps = createInternalSteps(emit, () => 0);
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-shared-'));
  const db = await openDatabase(join(dir, 'cache.db'));
  onTestFinished(() => {
    db.close();
    rmSync(dir, { recursive: true });
  });
  const rows = createLayerRows(db);
  const available = (id: string): boolean => id === 'empty' || rows.get(id)?.origin !== undefined;
  const keys = createKeyStore(db, { layerAvailable: available });
  const imported = importCaches(importers, { steps, emit, signal: AbortSignal.timeout(20_000) });
  const shared = createSharedKeys({ keys, rows, layers: { available }, imported });
  const warnings = (): string[] =>
    events.flatMap((event) => (event.kind === 'warning' ? [event.message] : []));
  return { rows, keys, imported, shared, warnings };
}

describe('createSharedKeys()', () => {
  it("makes a record that it finds the store's own, with the places of its layers", async () => {
    const { rows, keys, shared } = await setUp(importer('a', config([record('d')])));
    expect(await keys.lookup(digest('d'))).toBeUndefined();
    expect(await shared.lookup(digest('d'))).toEqual(record('d'));
    expect(await keys.lookup(digest('d'))).toEqual(record('d'));
    expect(rows.get(RUN)).toMatchObject({ origin: HOME, blobDigest: digest('2'), createdMs: 1000 });
    expect(await shared.lookup(digest('e'))).toBeUndefined();
  });

  it('takes no record with a layer that is nowhere, and leaves no row of it', async () => {
    const { rows, shared } = await setUp(
      importer('a', config([record('d', { layers: [RUN, digest('7')] })])),
    );
    expect(await shared.lookup(digest('d'))).toBeUndefined();
    expect(rows.list()).toEqual([]);
  });

  it('takes no layer whose name stands for another content here', async () => {
    const { rows, shared } = await setUp(importer('a', config([record('d')])));
    rows.put(RUN, { diffId: digest('6') });
    expect(await shared.lookup(digest('d'))).toBeUndefined();
    expect(rows.get(RUN)).toMatchObject({ diffId: digest('6') });
  });

  it('looks for a layer in the next cache when it is lost in the first', async () => {
    const { rows, imported, shared } = await setUp(
      importer('a', config([record('d')])),
      importer('b', config([record('d')]), AWAY),
    );
    await imported.ready();
    imported.forget(digest('2'), HOME);
    expect(await shared.lookup(digest('d'))).toEqual(record('d'));
    expect(rows.get(RUN)?.origin).toEqual(AWAY);
    rows.update(RUN, { origin: null });
    imported.forget(digest('2'));
    expect(await shared.lookup(digest('d'))).toBeUndefined();
  });

  it('shows earlier results of a step, so that a miss can be explained', async () => {
    const result = record('d', {
      kind: 'result',
      ingredients: [{ name: 'arg A', value: '#0123456789abcdef' }],
    });
    const { imported, shared } = await setUp(importer('a', config([result])));
    await imported.ready();
    expect(shared.previous('RUN x')).toEqual([result]);
    expect(shared.history?.({ name: 'scope', value: 'of another machine' })).toEqual([result]);
  });
});

describe('importCaches()', () => {
  it('warns of a cache that cannot be read or holds nothing, and goes on with the others', async () => {
    const broken: CacheImporter = {
      name: 'broken',
      load: () => Promise.reject(new OcibuildError('REGISTRY_UNREACHABLE', 'Cannot reach it')),
    };
    const none: CacheImporter = { name: 'none', load: async () => [] };
    const { imported, shared, warnings } = await setUp(broken, none, importer('good', config([record('d')])));
    await imported.ready();
    expect(warnings()).toEqual([
      'Cannot import the cache "broken", so steps are built without it: Cannot reach it',
      expect.stringContaining('"none"'),
    ]);
    expect(await shared.lookup(digest('d'))).toEqual(record('d'));
  });

  it('leaves out a cache of other keys', async () => {
    const { imported, shared, warnings } = await setUp(importer('old', config([record('d')], 'ocibuild 0')));
    await imported.ready();
    expect(await shared.lookup(digest('d'))).toBeUndefined();
    expect(warnings()).toEqual([expect.stringContaining('another version')]);
  });

  it('stops without a warning', async () => {
    const slow: CacheImporter = {
      name: 'slow',
      load: (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        }),
    };
    const { imported, warnings } = await setUp(slow);
    await imported.stop();
    expect(warnings()).toEqual([]);
  });
});

describe('collectRecords()', () => {
  it('gives definitions with their results, without the values that results were made of', async () => {
    const { keys } = await setUp();
    const layers: readonly string[] = ['empty'];
    const value = 'hunter2';
    await keys.save(record('e', { kind: 'result', layers, ingredients: [{ name: 'env TOKEN', value }] }));
    const link = [{ name: 'result', value: digest('e') }];
    await keys.save(record('d', { layers, ingredients: link }));
    const found = await collectRecords([digest('d'), digest('f')], keys);
    expect(found).toEqual([
      record('d', { layers, ingredients: link }),
      record('e', {
        ...{ kind: 'result', layers },
        ingredients: [{ name: 'env TOKEN', value: expect.stringMatching(/^#[0-9a-f]{16}$/) }],
      }),
    ]);
  });
});

describe('recordsWithin()', () => {
  it('leaves out records with a layer that the images do not have', () => {
    const inside = record('d', { layers: ['empty', RUN] });
    expect(recordsWithin([inside, record('e', { layers: [RUN, 'files-x'] })], [RUN])).toEqual([inside]);
  });
});
