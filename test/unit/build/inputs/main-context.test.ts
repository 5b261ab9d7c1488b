import { expect, it } from 'vitest';
import { loadMainContext, type MainContextDeps } from '../../../../src/build/inputs/main-context.ts';
import type { ReadFileOptions } from '../../../../src/source/types.ts';

it.each([
  [16 << 20, 'read'],
  [(16 << 20) + 1, 'refused'],
])('loadMainContext() takes a Dockerfile of %d B from a repository: %s', async (size, expected) => {
  const readFile = async (_source: unknown, _path: string, { onSize }: ReadFileOptions) => {
    onSize(size);
    return Buffer.from('FROM scratch\n');
  };
  const deps = {
    options: { context: { type: 'git', remote: 'https://h.test/app.git' } },
    remote: { git: { readFile } },
    steps: { run: (_name: string, work: () => unknown) => work() },
    signal: new AbortController().signal,
  } as unknown as MainContextDeps;
  const read = loadMainContext(deps).then(
    ({ files }) => files.dockerfile.text,
    (error: unknown) => error,
  );
  if (expected === 'read') expect(await read).toBe('FROM scratch\n');
  else expect(await read).toMatchObject({ code: 'DOCKERFILE_NOT_FOUND' });
});
