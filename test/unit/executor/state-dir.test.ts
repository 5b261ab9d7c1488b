import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { holdStateDir } from '../../../src/executor/state-dir.ts';

const MODULE = new URL('../../../src/executor/state-dir.ts', import.meta.url).href;

function placeFor(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-state-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return join(dir, 'run', name);
}

it('holdStateDir() takes the directory away with the last that holds it', () => {
  const dir = placeFor('store');
  const leave = [holdStateDir(dir), holdStateDir(dir)];
  expect(existsSync(dir)).toBe(true);
  leave[0]?.();
  expect(existsSync(dir)).toBe(true);
  leave[1]?.();
  expect(existsSync(dir)).toBe(false);
  holdStateDir(dir)();
  expect(existsSync(dir)).toBe(false);
});

it('holdStateDir() leaves a directory that still holds the state of a container', () => {
  const dir = placeFor('store');
  const leave = holdStateDir(dir);
  mkdirSync(join(dir, 'container'));
  leave();
  expect(existsSync(join(dir, 'container'))).toBe(true);
});

it('holdStateDir() gives everybody the directory when others make and remove it at that moment', async () => {
  const dir = placeFor('store');
  const code = `import(${JSON.stringify(MODULE)}).then(({ holdStateDir }) => {
    for (let i = 0; i < 1500; i++) holdStateDir(${JSON.stringify(dir)})();
  })`;
  const ends = [1, 2, 3].map(
    () =>
      new Promise((resolve) => {
        new Worker(code, { eval: true }).once('error', resolve).once('exit', resolve);
      }),
  );
  expect(await Promise.all(ends)).toEqual([0, 0, 0]);
  expect(existsSync(dir)).toBe(false);
});
