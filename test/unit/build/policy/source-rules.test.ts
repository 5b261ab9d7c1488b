import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RemoteSource, RemoteSources } from '../../../../src/build/inputs/remote-sources.ts';
import { checkSources, policedRemotes } from '../../../../src/build/policy/policed-sources.ts';
import { readSourceRules, type SourceRules } from '../../../../src/build/policy/source-rules.ts';
import type { SourceRule } from '../../../../src/build/policy/types.ts';
import { createGraph } from '../../../../src/llb/definition.ts';
import type { GitSource, HttpSource } from '../../../../src/llb/ops.ts';
import { tempDir } from '../fixture.ts';

const HTTP: HttpSource = { type: 'http', url: 'https://x.example/f', filename: 'f', mode: 0o600 };
const GIT: GitSource = { type: 'git', remote: 'https://x.example/r.git', ref: 'main' };
const DIGEST = `sha256:${'a'.repeat(64)}` as const;

function rulesOf(...rules: SourceRule[]): SourceRules {
  const found = readSourceRules({ sourcePolicy: { rules }, cwd: '/' });
  if (found === undefined) throw new RangeError('no rules');
  return found;
}
const deny = (identifier: string): SourceRules => rulesOf({ action: 'DENY', selector: { identifier } });
const convert = (from: string, updates: NonNullable<SourceRule['updates']>): SourceRules =>
  rulesOf({ action: 'CONVERT', selector: { identifier: from }, updates });
const denied = expect.objectContaining({ code: 'SOURCE_DENIED' });
const invalid = (message: string) =>
  expect.objectContaining({ code: 'SOURCE_POLICY_INVALID', message: expect.stringContaining(message) });

describe('readSourceRules()', () => {
  it('reads a file relative to the directory of the build', () => {
    const cwd = tempDir();
    writeFileSync(join(cwd, 'p.json'), '{"rules":[{"action":"DENY","selector":{"identifier":"local://x"}}]}');
    expect(() => readSourceRules({ sourcePolicy: 'p.json', cwd })?.local('x')).toThrow(denied);
  });

  it.each<[string, string, number]>([
    ['{"rules": [],\n,}', 'Expected double-quoted', 2],
    ['{"rules":\n [', 'Unexpected end', 2],
    ['{"rules": [{},\n {"selector":\n{"identifer":"x"}}]}', 'rules[0].selector: it is missing', 1],
    ['{"rules": [\n {"selector":\n{"identifer":"x"}}]}', 'did you mean "identifier"?', 3],
  ])('names the line in %j', (text, message, line) => {
    const cwd = tempDir();
    writeFileSync(join(cwd, 'p.json'), text);
    expect(() => readSourceRules({ sourcePolicy: 'p.json', cwd })).toThrow(
      expect.objectContaining({
        category: 'usage',
        message: expect.stringContaining(message),
        source: expect.objectContaining({
          ranges: [expect.objectContaining({ start: expect.objectContaining({ line }) })],
        }),
      }),
    );
  });

  it('is no policy where none is named, and a fault where there is no file', () => {
    expect(readSourceRules({ cwd: '/' })).toBeUndefined();
    expect(() => readSourceRules({ sourcePolicy: 'none.json', cwd: tempDir() })).toThrow(
      invalid('Cannot read the source policy "none.json"'),
    );
  });
});

describe('SourceRules', () => {
  it('asks for images by their full names', () => {
    const rules = convert('docker-image://docker.io/library/alpine:latest', {
      identifier: `docker-image://m.example/alpine:3@${DIGEST}`,
    });
    expect(rules.image('alpine')).toBe(`m.example/alpine:3@${DIGEST}`);
    expect(rules.image('alpine:3')).toBe('docker.io/library/alpine:3');
    expect(() => deny(`docker-image://*@${DIGEST}`).resolved('docker.io/library/a:1', DIGEST)).toThrow(
      denied,
    );
  });

  it.each<[GitSource, string]>([
    [GIT, 'git://x.example/r.git#main'],
    [{ ...GIT, subdir: 'd' }, 'git://x.example/r.git#main:d'],
    [{ type: 'git', remote: 'https://x.example/r.git', subdir: 'd' }, 'git://x.example/r.git#:d'],
    [{ type: 'git', remote: 'git@x.example:a/r.git' }, 'git://x.example/a/r.git'],
    [{ type: 'git', remote: 'ssh://git@x.example:22/a/r', ref: 'v1' }, 'git://x.example:22/a/r#v1'],
    [{ type: 'git', remote: 'https://u:p@x.example:1/r.git' }, 'git://x.example:1/r.git'],
  ])('knows the repository %j', (source, identifier) => {
    const exact: SourceRule = { action: 'DENY', selector: { identifier, matchType: 'EXACT' } };
    expect(() => rulesOf(exact).remote(source)).toThrow(denied);
  });

  it.each<[string, SourceRules, RemoteSource]>([
    ['a ref', convert('git://*#main', { identifier: 'git://${1}#v1:d' }), { ...GIT, ref: 'v1', subdir: 'd' }],
    [
      'a mirror',
      convert('git://x.example/*', { identifier: 'git://m.example/${1}' }),
      { ...GIT, remote: 'https://m.example/r.git' },
    ],
    [
      'an address',
      convert('git://*', { attrs: { 'git.fullurl': 'ssh://git@m.example/r', 'git.checksum': 'abc' } }),
      { ...GIT, remote: 'ssh://git@m.example/r', checksum: 'abc', ssh: 'default' },
    ],
    ['nothing', convert('http*', { identifier: 'https://${1}' }), GIT],
  ])('puts %s in the place of a repository', (_what, rules, expected) => {
    expect(rules.remote(GIT)).toEqual(expected);
  });

  it('puts a checksum and another URL in the place of a download, which keeps its name', () => {
    const rules = convert('https://x.example/*', {
      identifier: 'http://m.example/${1}?v=2',
      attrs: { 'http.checksum': DIGEST },
    });
    expect(rules.remote(HTTP)).toEqual({ ...HTTP, url: 'http://m.example/f?v=2', checksum: DIGEST });
    expect(rules.remote({ ...HTTP, url: 'http://other.example/f' })).toMatchObject({
      url: 'http://other.example/f',
    });
  });

  it.each<[string, () => unknown, string]>([
    ['a kind', () => convert('*', { identifier: 'https://x' }).image('a'), 'it cannot convert "docker-image'],
    [
      'a directory',
      () => convert('*', { identifier: 'local://b' }).local('a'),
      'it cannot convert "local://a"',
    ],
    [
      'an attribute',
      () => convert('*', { attrs: { 'http.filename': 'g' } }).remote(HTTP),
      'it cannot set "http.filename"',
    ],
    [
      'a checksum',
      () => convert('*', { attrs: { 'http.checksum': DIGEST } }).image('a'),
      'it cannot set "http.checksum"',
    ],
  ])('refuses to convert %s', (_what, ask, message) => {
    expect(ask).toThrow(invalid(message));
  });
});

describe('policedRemotes()', () => {
  it('asks for what stands in, whoever asks', async () => {
    const asked: unknown[] = [];
    const note = async (source: unknown): Promise<never> => asked.push(source) as never;
    const real = {
      downloads: { fetch: note, read: note },
      git: { resolve: note, commitTime: note, readFile: note, checkout: note },
      files: (source: unknown) => asked.push(source) as never,
      time: note,
    } as unknown as RemoteSources;
    const signal = new AbortController().signal;
    const { downloads, git, files, time } = policedRemotes(
      real,
      convert('https://*', { attrs: { 'http.checksum': DIGEST } }),
    );
    await downloads.fetch(HTTP, signal);
    await downloads.read(HTTP, signal);
    await time(HTTP, signal);
    files(HTTP);
    expect(asked).toEqual(Array(4).fill({ ...HTTP, checksum: DIGEST }));
    const none = policedRemotes(real, deny('git://*'));
    await expect(none.git.resolve(GIT, signal)).rejects.toThrow(denied);
    await expect(none.git.readFile(GIT, 'f', { signal, onSize() {} })).rejects.toThrow(denied);
    expect(await git.resolve(GIT, signal)).toBe(5);
  });
});

describe('checkSources()', () => {
  it('names the instruction that a directory is for', () => {
    const graph = createGraph();
    const source = { file: { name: 'Dockerfile', text: 'COPY . .' }, ranges: [] };
    const local = graph.add({ kind: 'source', source: { type: 'local', name: 'context', ignore: [] } }, [], {
      name: 'l',
    });
    graph.add({ kind: 'merge' } as never, [local], { name: 'COPY', source });
    expect(() => checkSources(deny('local://other'), graph.definition())).not.toThrow();
    expect(() => checkSources(deny('local://context'), graph.definition())).toThrow(
      expect.objectContaining({ code: 'SOURCE_DENIED', source }),
    );
  });
});
