import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { scanContext } from '../../../src/cache/contexts/context-scan.ts';
import type { StatRow } from '../../../src/cache/contexts/context-types.ts';
import {
  isRacy,
  type LastBuild,
  readLastBuild,
  rowsUnchanged,
  writeLastBuild,
} from '../../../src/cache/last-build.ts';
import { tempDir } from './temp-store.ts';

const record = (files: readonly StatRow[]): LastBuild => ({
  version: '1',
  argv: ['build', '.'],
  cwd: '/src',
  env: { OCIBUILD_ROOT: null },
  files,
  texts: {},
  tags: { 'app:v0': 'sha256:a' },
  blobs: [],
  lines: { stdout: [], stderr: ['done'] },
});

function rowsOf(dir: string): readonly StatRow[] {
  const ignore = { excluded: (path: string) => path.startsWith('skip'), mayContainIncluded: () => false };
  return scanContext({ dir, select: ['src', 'missing.txt', 'skip'], ignore }).statRows();
}

function context(): string {
  const dir = tempDir();
  mkdirSync(join(dir, 'src/lib'), { recursive: true });
  mkdirSync(join(dir, 'skip'));
  writeFileSync(join(dir, 'src/lib/a.ts'), 'a');
  symlinkSync('lib', join(dir, 'src/link'));
  return dir;
}

describe('last build', () => {
  it('writeLastBuild() keeps a record that readLastBuild() gives back', async () => {
    const dir = context();
    const file = join(tempDir(), 'sub/last.json');
    const rows = rowsOf(dir);
    const options = { readMs: Date.now() + 10_000, temp: join(tempDir(), 't') };
    expect(writeLastBuild(file, record(rows), options)).toBe(true);
    expect(readLastBuild(file, '1')).toEqual(record(rows));
    expect(readLastBuild(file, '2')).toBeUndefined();
    expect(readLastBuild(join(dir, 'none'), '1')).toBeUndefined();
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, 50));
    expect(readLastBuild(file, '1')).toBeUndefined();
  });

  it('writeLastBuild() writes none, and removes the old one, when a file is as new as the build', () => {
    const dir = context();
    const file = join(tempDir(), 'last.json');
    writeFileSync(file, '{}');
    const scan = scanContext({ dir, select: [''] });
    const options = { readMs: statSync(join(dir, 'src/lib')).ctimeMs, temp: join(tempDir(), 't') };
    expect(writeLastBuild(file, record(scan.statRows()), options)).toBe(false);
    expect(existsSync(file)).toBe(false);
  });

  it('isRacy() asks for two seconds where times have no fractions', () => {
    expect(isRacy(5_000, 5_000.5, 5_100)).toBe(false);
    expect(isRacy(5_000, 5_000.5, 5_010)).toBe(true);
    expect(isRacy(5_000, 5_000, 6_900)).toBe(true);
    expect(isRacy(5_000, 5_000, 7_100)).toBe(false);
    expect(isRacy(9_000, 5_000.5, 8_000)).toBe(true);
  });

  it('rowsUnchanged() is true while nothing that counts has changed', () => {
    const dir = context();
    const rows = rowsOf(dir);
    expect(rowsUnchanged(rows)).toBe(true);
    writeFileSync(join(dir, 'skip/new'), '');
    writeFileSync(join(dir, 'skip/old'), '');
    expect(rowsUnchanged(rows)).toBe(true);
  });

  it.each<[string, (dir: string) => void]>([
    ['a file is edited', (dir) => writeFileSync(join(dir, 'src/lib/a.ts'), 'b')],
    ['a file is touched', (dir) => utimesSync(join(dir, 'src/lib/a.ts'), 1, 1)],
    ['a file is added', (dir) => writeFileSync(join(dir, 'src/lib/b.ts'), '')],
    ['a file is removed', (dir) => rmSync(join(dir, 'src/lib/a.ts'))],
    ['a missing file appears', (dir) => writeFileSync(join(dir, 'missing.txt'), '')],
    ['the context is gone', (dir) => rmSync(dir, { recursive: true })],
    [
      'a link leads elsewhere',
      (dir) => {
        rmSync(join(dir, 'src/link'));
        symlinkSync('..', join(dir, 'src/link'));
      },
    ],
  ])('rowsUnchanged() is false when %s', (_, change) => {
    const dir = context();
    const rows = rowsOf(dir);
    change(dir);
    expect(rowsUnchanged(rows)).toBe(false);
  });

  it('last-build.ts loads nothing but node:fs and node:path', () => {
    const text = readFileSync(resolve(import.meta.dirname, '../../../src/cache/last-build.ts'), 'utf8');
    const loaded = [...text.matchAll(/^import (?!type )[^;]*from '([^']+)'/gm)].map(([, from]) => from);
    expect(loaded).toEqual(['node:fs', 'node:path']);
  });
});
