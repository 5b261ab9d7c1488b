import { describe, expect, it } from 'vitest';
import { createKeyStore } from '../../../src/cache/key-store.ts';
import type { CacheRecord } from '../../../src/solver/types.ts';
import { currentOwner } from '../../../src/util/owner.ts';
import { digestOf, tempStore } from './temp-store.ts';

const record = (letter: string, change: Partial<CacheRecord> = {}): CacheRecord => ({
  key: digestOf(letter),
  kind: 'result',
  layers: ['base', letter],
  ingredients: [{ name: 'op', value: letter }],
  name: 'RUN make',
  ...change,
});
const never = new AbortController().signal;

describe('createKeyStore', () => {
  it('lookup() gives what save() was given, the last one wins', async () => {
    const { db } = await tempStore();
    const keys = createKeyStore(db, { layerAvailable: () => true });
    expect(await keys.lookup(digestOf('a'))).toBeUndefined();
    await keys.save(record('a'));
    expect(await keys.lookup(digestOf('a'))).toEqual(record('a'));
    await keys.save(record('a', { layers: [], kind: 'definition' }));
    expect(await keys.lookup(digestOf('a'))).toEqual(record('a', { layers: [], kind: 'definition' }));
  });

  it('lookup() misses while a layer is missing', async () => {
    const { db } = await tempStore();
    const there = new Set(['base']);
    const keys = createKeyStore(db, { layerAvailable: (id) => there.has(id) });
    await keys.save(record('a'));
    expect(await keys.lookup(digestOf('a'))).toBeUndefined();
    there.add('a');
    expect(await keys.lookup(digestOf('a'))).toEqual(record('a'));
  });

  it('lookup() notes the use at most once an hour', async () => {
    const { db } = await tempStore();
    let time = 0;
    const keys = createKeyStore(db, { layerAvailable: () => true, now: () => time });
    await keys.save(record('a'));
    const used = async (at: number): Promise<unknown> => {
      time = at;
      await keys.lookup(digestOf('a'));
      return db.get('SELECT used_ms FROM records')?.used_ms;
    };
    expect(await used(1_000_000)).toBe(0);
    expect(await used(4_000_000)).toBe(4_000_000);
  });

  it('previous() gives the results of a name, newest first', async () => {
    const { db } = await tempStore();
    const keys = createKeyStore(db, { layerAvailable: () => false, now: () => 7 });
    for (const letter of ['a', 'b', 'c', 'a']) await keys.save(record(letter));
    await keys.save(record('d', { kind: 'definition' }));
    await keys.save(record('e', { name: 'COPY . .' }));
    expect(keys.previous('RUN make').map((found) => found.layers[1])).toEqual(['a', 'c', 'b']);
    expect(keys.previous('nothing')).toEqual([]);
  });
});

describe('lock', () => {
  it('lock() lets one caller in at a time and in order', async () => {
    const { db } = await tempStore();
    const keys = createKeyStore(db, { layerAvailable: () => true });
    const log: string[] = [];
    const work = async (name: string): Promise<void> => {
      await using _lock = await keys.lock(digestOf('a'), never);
      log.push(`${name} in`);
      await new Promise((done) => setTimeout(done, 5));
      log.push(`${name} out`);
    };
    await Promise.all([work('1'), work('2'), work('3')]);
    expect(log).toEqual(['1 in', '1 out', '2 in', '2 out', '3 in', '3 out']);
    expect(db.all('SELECT * FROM locks')).toEqual([]);
  });

  it('lock() does not wait for other keys', async () => {
    const { db } = await tempStore();
    const keys = createKeyStore(db, { layerAvailable: () => true });
    await using _a = await keys.lock(digestOf('a'), never);
    await using _b = await keys.lock(digestOf('b'), never);
    expect(db.all('SELECT key FROM locks')).toHaveLength(2);
  });

  it('lock() waits for another store handle of a live process, and can be cancelled', async () => {
    const { db } = await tempStore();
    const [one, two] = [0, 1].map(() => createKeyStore(db, { layerAvailable: () => true }));
    const held = await one!.lock(digestOf('a'), never);
    const controller = new AbortController();
    const waiting = two!.lock(digestOf('a'), controller.signal);
    const queued = two!.lock(digestOf('a'), controller.signal);
    await new Promise((done) => setTimeout(done, 60));
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(queued).rejects.toMatchObject({ code: 'CANCELLED' });
    const next = two!.lock(digestOf('a'), never);
    await held[Symbol.asyncDispose]();
    await (await next)[Symbol.asyncDispose]();
    expect(db.all('SELECT * FROM locks')).toEqual([]);
  });

  it('lock() takes over from a dead process', async () => {
    const { db } = await tempStore();
    const keys = createKeyStore(db, { layerAvailable: () => true });
    const { pid, startTime } = currentOwner();
    const put = 'INSERT INTO locks VALUES(?, ?, ?, ?, 0)';
    // The number is in use again, by a process that started at another time.
    db.run(put, digestOf('a'), pid, `${startTime}9`, 'old');
    await using _lock = await keys.lock(digestOf('a'), AbortSignal.timeout(20_000));
    expect(db.get('SELECT start_time FROM locks')).toEqual({ start_time: startTime });
  });

  it('createKeyStore() deletes the locks of dead processes and no others', async () => {
    const { db } = await tempStore();
    const { pid, startTime } = currentOwner();
    const put = 'INSERT INTO locks VALUES(?, ?, ?, ?, 0)';
    db.run(put, 'dead', pid, `${startTime}9`, 'x');
    db.run(put, 'alive', pid, startTime, 'y');
    createKeyStore(db, { layerAvailable: () => true });
    expect(db.all('SELECT key FROM locks')).toEqual([{ key: 'alive' }]);
  });
});
