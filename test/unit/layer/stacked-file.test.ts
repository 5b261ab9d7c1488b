import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { isStackedFile } from '../../../src/layer/stacked-file.ts';

it('isStackedFile() asks the uppermost layer that knows the path when several do', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-stacked-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const [base, upper] = [join(dir, 'base'), join(dir, 'upper')];
  for (const layer of [base, upper]) mkdirSync(join(layer, 'bin'), { recursive: true });
  writeFileSync(join(base, 'bin/apk'), '');
  writeFileSync(join(base, 'bin/dnf'), '');
  mkdirSync(join(upper, 'bin/dnf'));
  symlinkSync('apk', join(upper, 'bin/link'));
  const found = ['bin/apk', 'bin/dnf', 'bin/link', 'bin/none'].map((path) =>
    isStackedFile([base, upper], path),
  );
  expect(found).toEqual([true, false, true, false]);
});
