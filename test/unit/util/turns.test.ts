import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type InTurns, runAtOnce, runInTurns } from '../../../src/util/turns.ts';

function* work(done: string[]): InTurns<number> {
  for (const part of ['a', 'b', 'c']) {
    done.push(part);
    yield;
  }
  return done.length;
}

it('runInTurns() lets others go on between two turns, runAtOnce() nobody', async () => {
  const done: string[] = [];
  const other = async (): Promise<void> => {
    for (const part of [1, 2]) {
      await nextTurn();
      done.push(`other ${part}`);
    }
  };
  await Promise.all([other(), runInTurns(work(done))]);
  expect(done.join(', ')).toMatch(/^a, (?:b, )?other 1, .*c/);
  const [alone, late]: [string[], Promise<void>] = [done, other()];
  alone.length = 0;
  expect(runAtOnce(work(alone))).toBe(3);
  expect(alone).toEqual(['a', 'b', 'c']);
  await late;
});

it('runInTurns() fails with what the work throws', async () => {
  // biome-ignore lint/correctness/useYield: it fails before
  function* failing(): InTurns<never> {
    throw new RangeError('no');
  }
  await expect(runInTurns(failing())).rejects.toThrow(RangeError);
});
