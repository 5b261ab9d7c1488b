import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { build } from '../../../../src/build/build.ts';

const made: string[] = [];
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
});

it('build() leaves the store out of a context that it lies in', async () => {
  const context = mkdtempSync(join(tmpdir(), 'ocibuild-context-'));
  made.push(context);
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY . /\n');
  writeFileSync(join(context, 'file'), 'text');
  const options = { context, root: join(context, 'store'), env: {} };
  const first = await build(options);
  const second = await build(options);
  expect(second.digest).toBe(first.digest);
  expect(second.cachedSteps).toBe(1);
});
