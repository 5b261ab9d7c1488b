import { describe, expect, it } from 'vitest';
import type { BuildOptions } from '../../../src/build/options.ts';
import { namespaceFor } from '../../../src/build/user-namespace.ts';
import { tempDir } from './fixture.ts';

describe('namespaceFor()', () => {
  it.each<[string, string, Partial<BuildOptions>]>([
    ['must', 'FROM a\nRUN b\n', {}],
    ['must', 'FROM a\n  onbuild run b\n', {}],
    ['none', 'FROM a\nCOPY . /RUN\n# RUN b\n', {}],
    ['must', 'FROM a\n', { dockerfileText: 'FROM a\nRUN b\n' }],
    ['none', 'FROM a\nRUN b\n', { dockerfile: 'missing' }],
    ['try', 'FROM a\n', { context: '-' }],
    ['try', 'FROM a\n', { context: 'https://git.example/app.git' }],
    ['try', 'FROM a\n', { dockerfile: 'https://files.example/Dockerfile' }],
  ])('namespaceFor() gives %s when the Dockerfile is %j with %j', (need, text, more) => {
    const context = tempDir({ Dockerfile: text });
    expect(namespaceFor({ context, cwd: context, env: {}, ...more })).toBe(need);
  });

  it('namespaceFor() throws when options are none', () => {
    expect(() => namespaceFor({ context: 7 } as unknown as BuildOptions)).toThrow(TypeError);
  });
});
