import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readDefinition, readIgnoreFile } from '../../../../src/build/inputs/definition-files.ts';
import { normaliseOptions } from '../../../../src/build/normalise.ts';
import type { BuildOptions } from '../../../../src/build/options.ts';
import { tempDir } from '../fixture.ts';

function read(files: Readonly<Record<string, string>>, options: Partial<BuildOptions> = {}) {
  const cwd = tempDir(files);
  const found = readDefinition(normaliseOptions({ context: '.', cwd, env: {}, ...options }));
  return {
    ...found,
    names: [found.dockerfile.name, found.ignoreFile?.name],
    looked: found.looked.map((path) => path.slice(cwd.length + 1)),
  };
}

describe('readDefinition()', () => {
  it.each<[string[], string]>([
    [['Dockerfile', 'dockerfile', 'Containerfile'], 'Dockerfile'],
    [['dockerfile', 'Containerfile'], 'dockerfile'],
    [['Containerfile'], 'Containerfile'],
  ])('of %j takes %s', (names, expected) => {
    const files = Object.fromEntries(names.map((name) => [name, `FROM ${name}`]));
    expect(read(files).dockerfile).toEqual({ name: expected, text: `FROM ${expected}` });
  });

  it('tells every path that it looked at, also in vain', () => {
    expect(read({ Containerfile: '' }).looked).toEqual([
      'Dockerfile',
      'dockerfile',
      'Containerfile',
      'Containerfile.dockerignore',
      '.dockerignore',
    ]);
  });

  it('takes -f from the working directory, and names a file outside of the context by its whole path', () => {
    const found = read(
      { 'ctx/x': '', 'docker/Build': 'FROM a' },
      { context: 'ctx', dockerfile: 'docker/Build' },
    );
    expect(found.dockerfile.name).toMatch(/^\/.*\/docker\/Build$/);
    expect(read({ 'sub/Build': '' }, { dockerfile: 'sub/Build' }).dockerfile.name).toBe('sub/Build');
    expect(read({ 'sub/dockerfile': 'low' }, { dockerfile: 'sub/Dockerfile' }).dockerfile.text).toBe('low');
  });

  it('prefers the ignore file of the Dockerfile to that of the context', () => {
    expect(read({ Dockerfile: '', '.dockerignore': 'a' }).names).toEqual(['Dockerfile', '.dockerignore']);
    expect(read({ Dockerfile: '', '.dockerignore': 'a', 'Dockerfile.dockerignore': 'b' }).ignoreFile).toEqual(
      { name: 'Dockerfile.dockerignore', text: 'b' },
    );
    expect(read({ Dockerfile: '' }).ignoreFile).toBeUndefined();
  });

  it('takes a text instead of a file, with the ignore file of the context', () => {
    const found = read({ '.dockerignore': 'a', Dockerfile: 'no' }, { dockerfileText: 'FROM b' });
    expect(found.dockerfile.text).toBe('FROM b');
    expect(found.looked).toEqual(['.dockerignore']);
  });

  it.each<[string, Partial<BuildOptions>, string, RegExp]>([
    ['there is none', {}, 'DOCKERFILE_NOT_FOUND', /Cannot find the Dockerfile ".*\/Dockerfile"/],
    ['it is a directory', { dockerfile: 'dir' }, 'DOCKERFILE_NOT_FOUND', /it is a directory/],
    ['the context is not there', { context: 'none' }, 'CONTEXT_NOT_FOUND', /it does not exist/],
    ['the context is a file', { context: 'file' }, 'CONTEXT_NOT_FOUND', /it is not a directory/],
  ])('throws when %s', (_, options, code, message) => {
    expect(() => read({ file: '', 'dir/x': '' }, options)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it('suggests the name that was meant', () => {
    expect(() => read({}, { dockerfile: 'Dockerfil' })).toThrow(
      expect.objectContaining({ hint: 'did you mean "Dockerfile"?' }),
    );
  });
});

describe('readIgnoreFile()', () => {
  it('reads the ignore file of a named context where there is one', () => {
    const dir = tempDir({ 'a/.dockerignore': '*.log' });
    mkdirSync(join(dir, 'b'));
    expect(readIgnoreFile(join(dir, 'a')).ignoreFile?.text).toBe('*.log');
    expect(readIgnoreFile(join(dir, 'b'))).toEqual({});
  });

  it('says what --build-context takes when the directory is missing', () => {
    expect(() => readIgnoreFile(join(tempDir({}), 'none'))).toThrow(
      expect.objectContaining({ code: 'CONTEXT_NOT_FOUND', hint: expect.stringContaining('oci-layout://') }),
    );
  });
});

describe('readDockerfile()', () => {
  const from = (files: Readonly<Record<string, string>>, options: Partial<BuildOptions> = {}) => {
    const cwd = tempDir({ Dockerfile: 'FROM x', ...files });
    const found = readDefinition(normaliseOptions({ context: '.', cwd, env: {}, ...options }));
    const names = (path: string, file = found.dockerfile) => found.readDockerfile(path, file);
    return { cwd, names, ...found };
  };

  it('counts a path from the file that names it, and tells that it looked there', () => {
    const { names, looked, cwd } = from({ 'a/one': '1', 'a/b/two': '2', 'a/three': '3' });
    const one = names('./a/one');
    const two = names('b/two', one);
    expect([one, two, names('../three', two)]).toEqual([
      { name: 'a/one', text: '1' },
      { name: 'a/b/two', text: '2' },
      { name: 'a/three', text: '3' },
    ]);
    expect(looked).toContain(join(cwd, 'a/b/two'));
  });

  it('gives the same object for the same file, however it is reached', () => {
    const { names, dockerfile, cwd } = from({ 'a/one': '1' });
    symlinkSync('.', join(cwd, 'loop'));
    expect(names('loop/a/one')).toBe(names('a/one'));
    expect(names('loop/Dockerfile')).toBe(dockerfile);
  });

  it('reads beside a Dockerfile that lies outside of the context', () => {
    const { names } = from(
      { 'ctx/f': '', 'deploy/Dockerfile': '', 'deploy/base': 'b' },
      {
        context: 'ctx',
        dockerfile: 'deploy/Dockerfile',
      },
    );
    expect(names('base')).toEqual({ name: 'base', text: 'b' });
    expect(() => names('../Dockerfile')).toThrow(/lies neither in the context/);
    expect(names('../ctx/f').name).toBe('f');
  });

  it('reads in the context when the text of the Dockerfile is given', () => {
    const { names } = from({ base: 'b' }, { dockerfileText: 'FROM file:base' });
    expect(names('base').text).toBe('b');
  });

  it.each<[string, RegExp]>([
    ['/etc/hostname', /must be relative/],
    ['../outside', /does not exist|lies neither/],
    ['../../../../etc/hostname', /lies neither in the context/],
    ['link', /"\/etc\/hostname" lies neither in the context/],
    ['none', /does not exist/],
    ['Dockerfile/x', /does not exist/],
    ['dir', /is not a regular file/],
  ])('refuses %s', (path, message) => {
    const { names, cwd } = from({ 'dir/f': '' });
    symlinkSync('/etc/hostname', join(cwd, 'link'));
    expect(() => names(path)).toThrow(message);
    expect(() => names(path)).toThrow(expect.objectContaining({ code: 'DOCKERFILE_NOT_FOUND' }));
  });
});
