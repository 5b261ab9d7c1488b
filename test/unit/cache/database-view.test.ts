import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDatabase } from '../../../src/cache/database.ts';
import { openDatabaseView } from '../../../src/cache/database-view.ts';
import type { Database } from '../../../src/cache/types.ts';
import { tempDir } from './temp-store.ts';

const put = (db: Database, digest: string): number =>
  db.run('INSERT INTO blob_uses(digest, used_ms, uses) VALUES(?, 1, 1)', digest);
const digests = (db: Database): unknown[] =>
  db.all('SELECT digest FROM blob_uses ORDER BY digest').map(({ digest }) => digest);
const bytesOf = (dir: string): [string, string][] =>
  readdirSync(dir)
    .sort()
    .map((name) => [name, readFileSync(join(dir, name), 'base64')]);

describe('openDatabaseView', () => {
  it('openDatabaseView() reads the log that a killed process left, and leaves it', async () => {
    const [alive, dead, temp] = [tempDir(), tempDir(), tempDir()];
    const writer = await openDatabase(join(alive, 'cache.db'));
    put(writer, 'in the log');
    // What a kill leaves where the log's index is on a disk that went away: no -shm.
    for (const name of ['cache.db', 'cache.db-wal']) copyFileSync(join(alive, name), join(dead, name));
    writer.close();
    expect(statSync(join(dead, 'cache.db-wal')).size).toBeGreaterThan(0);
    const before = bytesOf(dead);
    const view = await openDatabaseView(join(dead, 'cache.db'), temp);
    expect(digests(view)).toEqual(['in the log']);
    // Lives with the view only.
    put(view, 'in the view');
    view.transaction(() => put(view, 'in a transaction'));
    expect(digests(view)).toHaveLength(3);
    view.close();
    expect(bytesOf(dead)).toEqual(before);
    expect(readdirSync(temp)).toEqual([]);
  });

  it('openDatabaseView() shows one moment while others go on writing', async () => {
    const file = join(tempDir(), 'cache.db');
    const writer = await openDatabase(file);
    put(writer, 'a');
    const view = await openDatabaseView(file, tempDir());
    put(writer, 'b');
    expect(digests(view)).toEqual(['a']);
    const later = await openDatabaseView(file, tempDir());
    expect(digests(later)).toEqual(['a', 'b']);
    for (const db of [view, later, writer]) db.close();
  });

  it('openDatabaseView() is empty when there is no database, and makes none', async () => {
    const dir = tempDir();
    const view = await openDatabaseView(join(dir, 'cache.db'), tempDir());
    expect(digests(view)).toEqual([]);
    view.close();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('openDatabaseView() fails only when it is asked, where no copy can be made', async () => {
    const view = await openDatabaseView(join(tempDir(), 'cache.db'), '/no/such/directory');
    expect(() => digests(view)).toThrow(
      expect.objectContaining({ code: 'STORE_NOT_READABLE', hint: expect.stringContaining('TMPDIR') }),
    );
    view.close();
  });
});
