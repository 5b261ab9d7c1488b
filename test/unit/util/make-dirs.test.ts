import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirs } from '../../../src/util/make-dirs.ts';

describe('makeDirs()', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'ocibuild-dirs-'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('gives the topmost directory when it makes some', () => {
    expect(makeDirs(join(dir, 'a/b/c'))).toBe(join(dir, 'a'));
    expect(makeDirs(join(dir, 'a/b/c'))).toBeUndefined();
  });

  it('fails when a file is in the way or the file system makes no directories', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => makeDirs(join(dir, 'file/x'))).toThrow(/EEXIST|ENOTDIR/);
    expect(() => makeDirs('/proc/x/y')).toThrow(/ENOENT|EACCES/);
  });
});
