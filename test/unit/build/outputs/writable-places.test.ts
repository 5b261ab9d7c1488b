import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Output } from '../../../../src/build/options.ts';
import { checkWritable, writeWhole } from '../../../../src/build/outputs/writable-places.ts';

describe('checkWritable()', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'ocibuild-places-'));
    writeFileSync(join(dir, 'file'), '');
    mkdirSync(join(dir, 'sub'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const check = (...outputs: readonly Output[]): void =>
    checkWritable({
      outputs: outputs.map((output) =>
        'dest' in output && output.dest !== '-' ? { ...output, dest: join(dir, output.dest ?? '') } : output,
      ),
      cwd: dir,
    });

  it.each<[string, Output, RegExp]>([
    ['the directory of a file is missing', { type: 'tar', dest: 'no/x' }, /its directory does not exist/],
    [
      'a directory has the name of a file',
      { type: 'oci', dest: 'sub' },
      /it is a directory, expected a file/,
    ],
    [
      'a file has the name of a directory',
      { type: 'local', dest: 'file' },
      /a file of that name is in the way/,
    ],
    ['a file stands above a layout', { type: 'oci', tar: false, dest: 'file/x' }, /file" is no directory/],
    ['a file stands above a file', { type: 'docker', dest: 'file/x' }, /file" is no directory/],
  ])('refuses a place when %s', (_when, output, message) => {
    expect(() => check(output)).toThrow(message);
  });

  it('makes nothing when all is well', () => {
    check({ type: 'local', dest: 'a/b' }, { type: 'tar', dest: 'file' }, { type: 'tar', dest: '-' });
    expect(existsSync(join(dir, 'a'))).toBe(false);
  });

  it('allows a file in a directory when an earlier output makes that', () => {
    const [out, file]: [Output, Output] = [
      { type: 'local', dest: 'a' },
      { type: 'tar', dest: 'a/x.tar' },
    ];
    expect(() => check(out, file)).not.toThrow();
    expect(() => check(file, out)).toThrow(/its directory does not exist/);
  });

  it('refuses the place of a local cache unless its errors are ignored', () => {
    const cache = { type: 'local', dest: 'file/c' } as const;
    const at = { outputs: [], cwd: dir };
    expect(() => checkWritable({ ...at, cacheTo: [cache] })).toThrow(/file" is no directory/);
    expect(() => checkWritable({ ...at, cacheTo: [{ ...cache, ignoreError: true }] })).not.toThrow();
  });
});

describe('writeWhole()', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'ocibuild-whole-'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('replaces what a symlink leads to, and leaves nothing beside it', () => {
    writeFileSync(join(dir, 'real'), 'old', { mode: 0o600 });
    symlinkSync('real', join(dir, 'link'));
    writeWhole(join(dir, 'link'), 'new');
    expect(readFileSync(join(dir, 'real'), 'utf8')).toBe('new');
    expect(lstatSync(join(dir, 'real')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['link', 'real']);
    expect(lstatSync(join(dir, 'link')).isSymbolicLink()).toBe(true);
  });

  it('writes to a device as it is', () => {
    writeWhole('/dev/null', 'x');
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it('tells a missing directory as an output does', () => {
    expect(() => writeWhole(join(dir, 'no/x'), 'x')).toThrow(
      expect.objectContaining({ code: 'EXPORT_TARGET_INVALID' }),
    );
  });
});
