import { expect, it } from 'vitest';
import { warnOfUnknownSteps } from '../../../src/build/failed/failed-steps.ts';
import type { Digest } from '../../../src/image/types.ts';

it.each([
  [['[test 1/2] FROM a', '[test 2/2] RUN b'], 'test', []],
  [
    ['[test 1/2] FROM a', '[test 2/2] RUN b'],
    'build',
    ['--export-on-failure "build" names none of the steps of this build'],
  ],
  [['[1/2] FROM a', '[2/2] RUN b'], 'test', [expect.stringContaining('one stage has no name')]],
])('warnOfUnknownSteps() tells of a name that no step has: %j, %s', (names, step, warnings) => {
  const meta = new Map(names.map((name, i): [Digest, { name: string }] => [`sha256:${i}`, { name }]));
  const told: string[] = [];
  warnOfUnknownSteps(
    { exportOnFailure: [{ step, path: '/a', dest: 'a' }] },
    { vertices: new Map(), meta },
    (event) => event.kind === 'warning' && told.push(event.message),
  );
  expect(told).toEqual(warnings);
});
