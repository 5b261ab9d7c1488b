import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { holdStateDir } from '../../../src/executor/state-dir.ts';

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
