import { expect, it } from 'vitest';
import { createOtherFetches } from '../../../../src/build/inputs/other-fetches.ts';
import type { Digest } from '../../../../src/image/types.ts';

it('createOtherFetches() is one step that ends when all has come, and begins again when more comes', () => {
  const seen: string[] = [];
  const report = createOtherFetches(
    (event) => seen.push(event.kind === 'status' ? `${event.id.slice(7, 8)} ${event.current}` : event.kind),
    () => 0,
  );
  const layer = (character: string) => ({
    mediaType: 'x',
    size: 10,
    digest: `sha256:${character.repeat(64)}` as Digest,
  });
  report(layer('a'), 5);
  report(layer('b'), 10);
  report(layer('a'), 10);
  report(layer('c'), 10);
  expect(seen).toEqual([
    'vertex',
    'started',
    'a 5',
    'b 10',
    'a 10',
    'completed',
    'started',
    'c 10',
    'completed',
  ]);
});
