import { describe, expect, it } from 'vitest';
import { isStep } from '../../../../src/build/history/find-step.ts';
import { parseStepName } from '../../../../src/llb/step-name.ts';

describe('parseStepName()', () => {
  it.each([
    ['[build 2/5] RUN make', { stage: 'build', step: 2, text: 'RUN make' }],
    ['[ 2/13] RUN make', { step: 2, text: 'RUN make' }],
    ['[build  2/13] RUN make', { stage: 'build', step: 2, text: 'RUN make' }],
    ['[linux/arm64 build 2/5] RUN a', { stage: 'build', platform: 'linux/arm64', step: 2, text: 'RUN a' }],
    ['[internal] load build context', { text: '[internal] load build context' }],
    ['[1/1] RUN a\nb', { step: 1, text: 'RUN a\nb' }],
  ])('takes "%s" apart', (name, parts) => {
    expect(parseStepName(name)).toEqual(parts);
  });
});

describe('isStep()', () => {
  const name = '[linux/amd64 test 3/5] RUN npm test && echo done';
  it.each(['*', 'test', 'test/3', '3', 'RUN npm', 'run  npm test', 'RUN npm test && echo done'])(
    'is true when "%s" means it',
    (wanted) => {
      expect(isStep(name, wanted)).toBe(true);
    },
  );

  it.each(['build', 'test/2', 'build/3', '2', 'RUN echo', 'npm test', 'tes', '', ' ', '3/5'])(
    'is false when "%s" means another',
    (wanted) => {
      expect(isStep(name, wanted)).toBe(false);
    },
  );
});
