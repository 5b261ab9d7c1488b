import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readContextInput } from '../../../../src/build/inputs/context-input.ts';

const cwd = '/nowhere';

describe('readContextInput()', () => {
  test.each([
    ['-', { type: 'stdin' }],
    ['.', { type: 'directory', dir: '/nowhere' }],
    ['app.git', { type: 'directory', dir: '/nowhere/app.git' }],
    ['github.com/a/b', { type: 'git', remote: 'https://github.com/a/b' }],
    ['git@h.test:a/b#dev', { type: 'git', remote: 'git@h.test:a/b', ref: 'dev', ssh: 'default' }],
    [
      'https://h.test/ctx.tar.gz',
      { type: 'http', url: 'https://h.test/ctx.tar.gz', filename: 'context', mode: 0o600, unpack: true },
    ],
  ])('reads %s', (text, expected) => {
    expect(readContextInput(text, { cwd })).toEqual(expected);
  });

  test('takes a directory when it has the name of a repository', () => {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-context-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    mkdirSync(join(dir, 'github.com/a/b'), { recursive: true });
    expect(readContextInput('github.com/a/b', { cwd: dir })).toEqual({
      type: 'directory',
      dir: join(dir, 'github.com/a/b'),
    });
  });

  test('keeps the name of a file when the context is a named one', () => {
    expect(readContextInput('https://h.test/a.txt', { cwd, named: true })).toMatchObject({
      filename: 'a.txt',
    });
  });

  test('keeps the git directory when told to, unless the address says otherwise', () => {
    const read = (text: string) => readContextInput(text, { cwd, keepGitDir: true });
    expect(read('https://h.test/a.git')).toMatchObject({ keepGitDir: true });
    expect(read('https://h.test/a.git?keep-git-dir=0')).toMatchObject({ keepGitDir: false });
  });

  test('fails with USAGE_INVALID when the scheme is unknown', () => {
    expect(() => readContextInput('s3://bucket/x', { cwd })).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID', message: expect.stringContaining('"s3://"') }),
    );
    expect(() => readContextInput('s3://bucket/x', { cwd, named: true })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('docker-image://') }),
    );
  });
});
