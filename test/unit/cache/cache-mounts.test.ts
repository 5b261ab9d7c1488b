import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createCacheMounts } from '../../../src/cache/cache-mounts.ts';
import type { CacheMountOptions, CacheMounts, CacheMountWish } from '../../../src/cache/types.ts';
import { tempStore } from './temp-store.ts';

const never = new AbortController().signal;
const wish = (sharing: CacheMountWish['sharing'], id = 'c', base = ''): CacheMountWish => ({
  id,
  base,
  sharing,
});

async function open() {
  const { root, db } = await tempStore();
  const fill = vi.fn(async (_wish: CacheMountWish, dir: string) => writeFileSync(join(dir, 'made'), ''));
  const acquire = (
    mounts: CacheMounts,
    wishes: readonly CacheMountWish[],
    options: Partial<CacheMountOptions> = {},
  ) => mounts.acquire(wishes, { anew: false, fill, signal: never, ...options });
  return { root, db, fill, acquire, make: () => createCacheMounts(root, db) };
}

/** What a wait has come to after some polls. */
async function soon<T>(promise: Promise<T>): Promise<T | 'waits'> {
  return Promise.race([promise, new Promise<'waits'>((done) => setTimeout(done, 60, 'waits'))]);
}

describe('createCacheMounts()', () => {
  it('acquire() gives the same directory again, filled once', async () => {
    const { fill, acquire, make } = await open();
    const first = await acquire(make(), [wish('shared')]);
    first.release();
    const second = await acquire(make(), [wish('private')]);
    expect(second.dirs).toEqual(first.dirs);
    expect(fill).toHaveBeenCalledTimes(1);
    expect(existsSync(join(second.dirs[0] ?? '', 'made'))).toBe(true);
  });

  it('acquire() gives other directories when id or base differ', async () => {
    const { acquire, make } = await open();
    const { dirs } = await acquire(make(), [
      wish('shared'),
      wish('shared', 'd'),
      wish('shared', 'c', 'seed'),
    ]);
    expect(new Set(dirs).size).toBe(3);
  });

  it('acquire() gives one directory when a step asks for it twice', async () => {
    const { acquire, make } = await open();
    const { dirs } = await acquire(make(), [wish('locked'), wish('private')]);
    expect(dirs[0]).toBe(dirs[1]);
  });

  it('acquire() lets sharers in together, and gives private ones a directory of their own', async () => {
    const { acquire, make } = await open();
    const [a, b] = [await acquire(make(), [wish('shared')]), await acquire(make(), [wish('shared')])];
    expect(b.dirs).toEqual(a.dirs);
    const alone = await acquire(make(), [wish('private')]);
    expect(alone.dirs).not.toEqual(a.dirs);
  });

  it('acquire() waits when it asks for a locked one that is in use', async () => {
    const { acquire, make } = await open();
    const first = await acquire(make(), [wish('locked')]);
    const second = acquire(make(), [wish('locked')]);
    expect(await soon(second)).toBe('waits');
    first.release();
    expect((await second).dirs).toEqual(first.dirs);
  });

  it('acquire() holds nothing while it waits, so that two steps cannot block each other', async () => {
    const { acquire, make } = await open();
    const a = await acquire(make(), [wish('locked', 'a')]);
    const both = acquire(make(), [wish('locked', 'b'), wish('locked', 'a')]);
    expect(await soon(both)).toBe('waits');
    const b = await acquire(make(), [wish('locked', 'b')]);
    b.release();
    a.release();
    expect((await both).dirs).toEqual([b.dirs[0], a.dirs[0]]);
  });

  it('acquire() waits for a directory that is being filled when it would share it', async () => {
    const { acquire, make } = await open();
    const { promise: filled, resolve: finish } = Promise.withResolvers<void>();
    const first = acquire(make(), [wish('shared')], { fill: () => filled });
    const second = acquire(make(), [wish('shared')]);
    expect(await soon(second)).toBe('waits');
    finish();
    expect((await second).dirs).toEqual((await first).dirs);
  });

  it('acquire() stops waiting when it is cancelled', async () => {
    const { acquire, make } = await open();
    await acquire(make(), [wish('locked')]);
    const abort = new AbortController();
    const second = acquire(make(), [wish('locked')], { signal: abort.signal });
    abort.abort();
    await expect(second).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('acquire() leaves nothing when filling fails', async () => {
    const { root, db, acquire, make } = await open();
    const fill = () => Promise.reject(new Error('no seed'));
    await expect(acquire(make(), [wish('shared')], { fill })).rejects.toThrow('no seed');
    expect(readdirSync(root.mountsDir)).toEqual([]);
    expect(db.all('SELECT * FROM cache_mounts')).toEqual([]);
    expect(db.all('SELECT * FROM cache_mount_users')).toEqual([]);
  });

  it('acquire() empties an id once in a build when it is asked to', async () => {
    const { root, acquire, make } = await open();
    const before = await acquire(make(), [wish('shared')]);
    before.release();
    const build = make();
    const first = await acquire(build, [wish('shared')], { anew: true });
    first.release();
    const second = await acquire(build, [wish('shared')], { anew: true });
    expect(first.dirs).not.toEqual(before.dirs);
    expect(second.dirs).toEqual(first.dirs);
    expect(readdirSync(root.mountsDir)).toHaveLength(1);
  });

  it('acquire() leaves a directory to who uses it when it is emptied, until that one lets go', async () => {
    const { root, acquire, make } = await open();
    const user = await acquire(make(), [wish('shared')]);
    writeFileSync(join(user.dirs[0] ?? '', 'work'), 'goes on');
    const other = await acquire(make(), [wish('shared')], { anew: true });
    expect(other.dirs).not.toEqual(user.dirs);
    expect(readFileSync(join(user.dirs[0] ?? '', 'work'), 'utf8')).toBe('goes on');
    user.release();
    expect(readdirSync(root.mountsDir)).toHaveLength(1);
  });

  it('acquire() takes what a dead process held, and makes anew what it had not finished', async () => {
    const { db, fill, acquire, make } = await open();
    const { dirs, release } = await acquire(make(), [wish('locked')]);
    release();
    const name = dirs[0]?.split('/').at(-1) ?? '';
    const dead =
      "INSERT INTO cache_mount_users(name, pid, start_time, token, kind) VALUES(?, 1, '1', 't', 'alone')";
    db.run(dead, name);
    expect((await acquire(make(), [wish('locked')])).dirs).toEqual(dirs);
    db.run('DELETE FROM cache_mount_users');
    db.run('UPDATE cache_mounts SET ready = 0');
    fill.mockClear();
    await acquire(make(), [wish('locked')]);
    expect(fill).toHaveBeenCalledTimes(1);
  });
});
