import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { errnoOf, writeFileAtomic } from '../../../src/util/atomic-fs.ts';

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-atomic-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

describe('writeFileAtomic', () => {
  it('writeFileAtomic() replaces a file and gives it its mode whatever the umask is', () => {
    const dir = tempDir();
    const file = join(dir, 'f');
    const before = process.umask(0o077);
    try {
      expect(writeFileAtomic(file, 'one', { temp: join(dir, 't') })).toBe(true);
      writeFileAtomic(file, [Buffer.from('t'), Buffer.from('wo')], { temp: join(dir, 't'), sync: true });
    } finally {
      process.umask(before);
    }
    expect(readFileSync(file, 'utf8')).toBe('two');
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(readdirSync(dir)).toEqual(['f']);
  });

  it('writeFileAtomic() leaves an existing file alone when it is exclusive', () => {
    const dir = tempDir();
    const file = join(dir, 'f');
    expect(writeFileAtomic(file, 'one', { temp: join(dir, 't'), exclusive: true })).toBe(true);
    expect(writeFileAtomic(file, 'two', { temp: join(dir, 't'), exclusive: true })).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe('one');
    expect(readdirSync(dir)).toEqual(['f']);
  });

  it('writeFileAtomic() leaves nothing behind when it fails', () => {
    const dir = tempDir();
    mkdirSync(join(dir, 'f/sub'), { recursive: true });
    expect(() => writeFileAtomic(join(dir, 'f'), 'x', { temp: join(dir, 't') })).toThrow();
    expect(existsSync(join(dir, 't'))).toBe(false);
  });

  it('errnoOf() gives the code of a failed call only', () => {
    expect(errnoOf(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
    expect([new Error('x'), undefined, 'ENOENT'].map(errnoOf)).toEqual([undefined, undefined, undefined]);
  });
});
