import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openEngine } from '../../../src/build/engine.ts';

/** Files below `dir` that this process has open. */
function openBelow(dir: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(`${dir}/`) ? [path] : [];
    } catch {
      // The descriptor of the listing itself.
      return [];
    }
  });
}

it('openEngine() closes the database when something behind its opening fails', async () => {
  const root = mkdtempSync(join(tmpdir(), 'ocibuild-engine-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const options = { root, env: {}, signal: new AbortController().signal };
  const failing = {
    ...options,
    get caches(): never {
      throw new Error('no caches');
    },
  };
  await expect(openEngine(failing)).rejects.toThrow('no caches');
  expect(openBelow(root)).toEqual([]);
  await using engine = await openEngine(options);
  expect(openBelow(root)).toContain(engine.root.databaseFile);
});
