import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { fileWatchers } from '../../../src/watch/file-watcher.ts';
import { planWatch } from '../../../src/watch/plan.ts';

it('fileWatchers() tells of an overflow when as much as the queue holds comes at once, of whatever files', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-watch-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const ignore = { excluded: (path: string) => path !== 'read', mayContainIncluded: () => false };
  const plan = planWatch({ files: [], trees: [{ dir, select: [''], rules: [], ignore }] });
  const changed: string[] = [];
  const overflown = Promise.withResolvers<void>();
  let overflows = 0;
  const watcher = fileWatchers(40)(plan, {
    onChange: (path) => changed.push(path),
    onOverflow() {
      overflows++;
      overflown.resolve();
    },
    onError: overflown.reject,
  });
  onTestFinished(() => watcher.close());
  await watcher.ready;
  writeFileSync(join(dir, 'read'), '1');
  await expect.poll(() => changed, { timeout: 10_000 }).toContain(join(dir, 'read'));
  expect(overflows).toBe(0);
  // Nothing is heard before all of it is there; the same event twice in a row would be one.
  for (let i = 0; i < 20; i++) for (const name of ['a.log', 'b.log']) appendFileSync(join(dir, name), 'x');
  await overflown.promise;
  // What is told is a hint: that file may come more than once, and its directory too.
  expect(changed.filter((path) => path.endsWith('.log'))).toEqual([]);
});
