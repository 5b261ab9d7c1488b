import { expect, it } from 'vitest';
import { createFetchSteps } from '../../../../src/build/inputs/fetch-step.ts';
import type { Descriptor, Digest } from '../../../../src/image/types.ts';

const layer = (character: string): Descriptor => ({
  mediaType: 'x',
  size: 10,
  digest: `sha256:${character.repeat(64)}` as Digest,
});

function start() {
  const seen: string[] = [];
  let idle: (() => void) | undefined;
  const steps = createFetchSteps({
    emit: (event) =>
      seen.push(
        event.kind === 'status'
          ? `${event.id.slice(7, 8)} ${event.current}`
          : `${event.kind}${event.kind === 'completed' && event.cancelled === true ? ' cancelled' : ''}`,
      ),
    now: () => 0,
    soon(callback) {
      idle = callback;
      return () => {
        idle = undefined;
      };
    },
  });
  return { seen, steps, report: steps.step('node:22'), idle: () => idle?.() };
}

it('createFetchSteps() makes one step of what comes without a pause, and begins again after one', () => {
  const { seen, report, idle } = start();
  report(layer('a'), 10);
  report(layer('b'), 5);
  idle();
  report(layer('b'), 10);
  idle();
  report(layer('c'), 10);
  idle();
  expect(seen).toEqual([
    'vertex',
    'started',
    'a 10',
    'b 5',
    'b 10',
    'completed',
    'started',
    'c 10',
    'completed',
  ]);
});

it('createFetchSteps() ends what is open when the build ends, once', () => {
  const { seen, steps, report } = start();
  report(layer('a'), 5);
  steps.step('other')(layer('b'), 10);
  steps[Symbol.dispose]();
  steps[Symbol.dispose]();
  expect(seen).toEqual([
    ...['vertex', 'started', 'a 5', 'vertex', 'started', 'b 10'],
    ...['completed cancelled', 'completed'],
  ]);
});
