import { describe, expect, it } from 'vitest';
import { build } from '../../../src/build/build.ts';
import { checkOptions } from '../../../src/build/check-options.ts';
import type { BuildOptions } from '../../../src/build/options.ts';

describe('checkOptions()', () => {
  it.each<[unknown, string]>([
    [undefined, 'Cannot build: options must be an object, got undefined'],
    [{}, 'Cannot build: the option "context" is missing'],
    [{ context: '.', tag: ['a'] }, 'there is no such option, did you mean "tags"?'],
    [{ context: '.', nothing: 1 }, 'Cannot use the option "nothing": there is no such option'],
    [{ context: '.', tags: 'a' }, 'Cannot use the option "tags": expected an array of strings, got \'a\''],
    [
      { context: '.', pull: 'sometimes' },
      'expected "missing", "always", "newer", "never", got \'sometimes\'',
    ],
    [{ context: '.', outputs: [{ type: 'ocii' }] }, 'expected an array of objects whose type is "store", '],
    [
      { context: '.', buildArgs: { A: 1 } },
      'expected an object whose values are strings, got an object with A',
    ],
    [{ context: '.', secrets: { a: 'sesame' } }, 'got an object with a'],
  ])('checkOptions() throws a TypeError that says what is wrong when options are %j', (options, message) => {
    expect(() => checkOptions(options as BuildOptions)).toThrow(TypeError);
    expect(() => checkOptions(options as BuildOptions)).toThrow(message);
  });

  it('checkOptions() takes what has no value when a caller spreads options', () => {
    expect(() => checkOptions({ context: '.', tags: undefined } as unknown as BuildOptions)).not.toThrow();
  });
});

describe('build()', () => {
  it('build() rejects, like any promise, when options are none', async () => {
    const job = build({ context: '.', tag: 'a' } as unknown as BuildOptions);
    const events = [];
    for await (const event of job) events.push(event);
    expect(events).toEqual([]);
    let isOver = false;
    const caught = await job
      .catch((error: unknown) => error)
      .finally(() => {
        isOver = true;
      });
    expect([caught, isOver]).toEqual([expect.any(TypeError), true]);
  });
});
