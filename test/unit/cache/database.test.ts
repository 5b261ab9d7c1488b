import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../../../src/cache/database.ts';
import { createLayerRows } from '../../../src/cache/layers/layer-rows.ts';
import type { Database } from '../../../src/cache/types.ts';
import { digestOf, tempDir, tempStore } from './temp-store.ts';

async function open(file: string, warnings: string[] = []): Promise<Database> {
  const db = await openDatabase(file, { onWarning: (text) => warnings.push(text) });
  onTestFinished(() => db.close());
  return db;
}

const insert = "INSERT INTO locks VALUES(?, 1, '2', 't', 3)";

describe('openDatabase', () => {
  it('openDatabase() makes a private file that a second handle sees', async () => {
    const file = join(tempDir(), 'cache.db');
    const db = await open(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(db.get('PRAGMA journal_mode')).toEqual({ journal_mode: 'wal' });
    expect(db.run(insert, 'a')).toBe(1);
    expect((await open(file)).get('SELECT key FROM locks')).toEqual({ key: 'a' });
  });

  it('openDatabase() refuses the file of a newer version', async () => {
    const file = join(tempDir(), 'cache.db');
    const sqlite = new DatabaseSync(file);
    sqlite.exec('PRAGMA user_version = 999');
    sqlite.close();
    await expect(openDatabase(file)).rejects.toMatchObject({
      code: 'STORE_INVALID',
      message: expect.stringContaining('schema 999'),
    });
  });

  it('openDatabase() adds tables and columns that came later when the file is of the first version', async () => {
    const file = join(tempDir(), 'cache.db');
    (await openDatabase(file)).close();
    const sqlite = new DatabaseSync(file);
    for (const { name } of sqlite.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all())
      if (!['records', 'layers', 'locks'].includes(String(name))) sqlite.exec(`DROP TABLE ${String(name)}`);
    for (const column of ['annotations', 'urls', 'uses', 'snapshot_bytes'])
      sqlite.exec(`ALTER TABLE layers DROP COLUMN ${column}`);
    sqlite.exec(`PRAGMA user_version = 1; ${insert.replace('?', "'kept'")}`);
    sqlite.close();
    const db = await open(file);
    expect(db.all('SELECT * FROM cache_mounts')).toEqual([]);
    expect(db.all('SELECT annotations, urls FROM layers')).toEqual([]);
    expect(db.get('SELECT key FROM locks')).toEqual({ key: 'kept' });
  });

  it('openDatabase() starts empty when the file is no database', async () => {
    const file = join(tempDir(), 'cache.db');
    writeFileSync(file, 'not a database, but long enough to be looked at '.repeat(100));
    const warnings: string[] = [];
    const db = await open(file, warnings);
    expect(db.all('SELECT * FROM records')).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('cache.db.damaged')]);
    expect(readFileSync(`${file}.damaged`, 'utf8')).toContain('not a database');
  });

  it('run() starts over on an empty file when the damage shows late', async () => {
    const file = join(tempDir(), 'cache.db');
    const first = await open(file);
    first.transaction(() => {
      for (let i = 0; i < 2000; i++) first.run(insert, `key ${i} ${'x'.repeat(100)}`);
    });
    first.close();
    const bytes = readFileSync(file);
    // The first page holds the schema; what comes after is found only when it is read.
    bytes.fill(0xff, 4096 * 3);
    writeFileSync(file, bytes);
    const warnings: string[] = [];
    const db = await open(file, warnings);
    expect(warnings).toEqual([]);
    db.transaction(() => {
      for (const row of db.all('SELECT key FROM locks')) expect(row.key).toBeTypeOf('string');
      db.run(insert, 'new');
    });
    expect(db.all('SELECT key FROM locks')).toEqual([{ key: 'new' }]);
    expect(warnings).toHaveLength(1);
    expect(existsSync(`${file}.damaged`)).toBe(true);
    // A second handle on the old file notices the change without taking the new one away.
    expect((await open(file)).all('SELECT key FROM locks')).toEqual([{ key: 'new' }]);
  });

  it('transaction() undoes everything when its body throws', async () => {
    const { db } = await tempStore();
    expect(() =>
      db.transaction(() => {
        db.run(insert, 'a');
        db.transaction(() => db.run(insert, 'b'));
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(db.all('SELECT * FROM locks')).toEqual([]);
    expect(db.transaction(() => db.run(insert, 'c'))).toBe(1);
  });

  it('transaction() waits for another writer', async () => {
    const file = join(tempDir(), 'cache.db');
    const [one, two] = [await open(file), await open(file)];
    one.transaction(() => one.run(insert, 'a'));
    two.transaction(() => two.run(insert, 'b'));
    expect(one.all('SELECT key FROM locks ORDER BY key')).toEqual([{ key: 'a' }, { key: 'b' }]);
  });
});

describe('createLayerRows', () => {
  it('put() makes a row, keeps what is not named, and clears what is null', async () => {
    const { db } = await tempStore();
    let time = 1000;
    const layers = createLayerRows(db, { now: () => time });
    layers.put('run-1', { snapshot: 's1' });
    expect(layers.get('run-1')).toEqual({
      id: 'run-1',
      snapshot: 's1',
      hasTree: false,
      hasChunkIndex: false,
      createdMs: 1000,
      usedMs: 1000,
      uses: 0,
    });
    time = 2000;
    const blob = { blobDigest: digestOf('b'), blobSize: 12, mediaType: 'm', tarSize: 2 ** 40 };
    layers.put('run-1', { ...blob, diffId: digestOf('d'), hasTree: true, hasChunkIndex: true });
    const origin = { registry: 'docker.io', repository: 'library/busybox', nested: [1, null] };
    layers.update('run-1', { origin, snapshot: null });
    expect(layers.get('run-1')).toEqual({
      id: 'run-1',
      ...blob,
      diffId: digestOf('d'),
      hasTree: true,
      hasChunkIndex: true,
      origin,
      createdMs: 1000,
      usedMs: 2000,
      uses: 0,
    });
  });

  it('update() and delete() say whether there was a row', async () => {
    const { db } = await tempStore();
    const layers = createLayerRows(db);
    expect(layers.update('a', { hasTree: true })).toBe(false);
    expect(layers.update('a', {})).toBe(false);
    expect(layers.delete('a')).toBe(false);
    layers.put('b', { diffId: digestOf('1') });
    layers.put('a', { diffId: digestOf('1'), usedMs: 5 });
    expect(layers.update('a', {})).toBe(true);
    expect(layers.list().map((row) => row.id)).toEqual(['a', 'b']);
    expect(layers.byDiffId(digestOf('1')).map((row) => row.id)).toEqual(['b', 'a']);
    for (const id of ['b', 'a']) layers.update(id, { blobDigest: digestOf('2') });
    expect(layers.byBlob(digestOf('2')).map((row) => row.id)).toEqual(['a', 'b']);
    expect(layers.byBlob(digestOf('1'))).toEqual([]);
    expect(layers.delete('a')).toBe(true);
    expect(layers.get('a')).toBeUndefined();
  });
});
