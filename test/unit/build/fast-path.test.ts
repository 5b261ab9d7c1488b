import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { answerFromLastBuild, type Invocation, lastBuildFile } from '../../../src/build/fast-path.ts';
import type { BuildOptions } from '../../../src/build/options.ts';
import { rememberBuild } from '../../../src/build/remember.ts';
import { startBuild } from '../../../src/build/start-build.ts';
import { makeLayout } from '../../support/layout.ts';
import { tempDir } from './fixture.ts';

const LINES = { stdout: ['sha256:…\n'], stderr: ['done\n'] };
const FILES = { Dockerfile: 'FROM scratch\nCOPY src /src\n', 'src/a': 'a', other: 'o' };

interface Remembered {
  readonly dir: string;
  readonly root: string;
  readonly invocation: Invocation;
  readonly recordFile: string;
  answer(change?: Partial<Invocation>): unknown;
  /** Builds again, perhaps otherwise, and remembers that under the same command line. */
  again(more: Partial<BuildOptions>): Promise<void>;
}

/** For all tests that leave the store as it is: making one takes longer than a build. */
const shared = mkdtempSync(join(tmpdir(), 'ocibuild-store-'));
afterAll(() => rmSync(shared, { recursive: true }));
const ownStore = (): string => join(tempDir(), 'store');

/** A context that was built and remembered; everything in it is older than the build. */
async function remembered(
  files: Readonly<Record<string, string>> = FILES,
  prepare: (dir: string) => Promise<Partial<BuildOptions>> | Partial<BuildOptions> = () => ({}),
  root: string = join(shared, 'store'),
): Promise<Remembered> {
  const dir = tempDir(files);
  const more = await prepare(dir);
  // What is as new as the build is not remembered.
  await sleep(40);
  const env = { SOURCE_DATE_EPOCH: '0', VERSION: '1' };
  const invocation = {
    argv: ['build', '--root', root, '--build-arg', 'VERSION', '-t', 'app:v1', '.'],
    cwd: dir,
    env,
    columns: undefined,
  };
  const again = async (extra: Partial<BuildOptions>): Promise<void> => {
    const options = { context: '.', cwd: dir, root, env, tags: ['app:v1'], ...more, ...extra };
    const { trace } = await startBuild(options).run;
    rememberBuild(trace, invocation, LINES);
  };
  await again({});
  return {
    dir,
    root,
    invocation,
    recordFile: lastBuildFile(root, invocation),
    answer: (change = {}) => answerFromLastBuild({ ...invocation, ...change }),
    again,
  };
}

describe('answerFromLastBuild()', () => {
  it('gives what was printed when nothing has changed', async () => {
    const { answer, dir, invocation } = await remembered();
    expect(answer()).toEqual(LINES);
    expect(answer()).toEqual(LINES);
    expect(answer({ env: { ...invocation.env, UNRELATED: 'x' } })).toEqual(LINES);
    // No instruction reads it.
    appendFileSync(join(dir, 'other'), 'more');
    expect(answer()).toEqual(LINES);
  });

  const OTHERS: [string, (of: Remembered) => Partial<Invocation>][] = [
    ['another flag is given', ({ invocation }) => ({ argv: [...invocation.argv, '--pull=never'] })],
    [
      'another store is meant',
      ({ invocation }) => ({
        argv: invocation.argv.map((word) => (word.endsWith('/store') ? '/none' : word)),
      }),
    ],
    ['it starts elsewhere', () => ({ cwd: '/' })],
    ['the terminal is another', () => ({ columns: 80 })],
    ['the epoch is another', ({ invocation }) => ({ env: { ...invocation.env, SOURCE_DATE_EPOCH: '1' } })],
    ['the epoch is gone', () => ({ env: { VERSION: '1' } })],
    [
      'a variable named on the command line has another value',
      ({ invocation }) => ({ env: { ...invocation.env, VERSION: '2' } }),
    ],
    [
      "Docker's settings are elsewhere",
      ({ invocation }) => ({ env: { ...invocation.env, DOCKER_CONFIG: '/x' } }),
    ],
    ['the home directory is another', ({ invocation }) => ({ env: { ...invocation.env, HOME: '/x' } })],
  ];
  it('knows nothing when it is called in another way', async () => {
    const given = await remembered();
    for (const [what, change] of OTHERS) expect(given.answer(change(given)), what).toBeUndefined();
    expect(given.answer()).toEqual(LINES);
  });

  it.each<[string, (of: Remembered) => void]>([
    ['a file is edited', ({ dir }) => appendFileSync(join(dir, 'src/a'), 'x')],
    ['a file is touched', ({ dir }) => utimesSync(join(dir, 'src/a'), 5, 5)],
    ['a file is added', ({ dir }) => writeFileSync(join(dir, 'src/b'), '')],
    ['a file is gone', ({ dir }) => rmSync(join(dir, 'src/a'))],
    ['the Dockerfile is edited', ({ dir }) => appendFileSync(join(dir, 'Dockerfile'), 'ENV A=1\n')],
    ['an ignore file appears', ({ dir }) => writeFileSync(join(dir, '.dockerignore'), 'src/a')],
    ['one for this Dockerfile appears', ({ dir }) => writeFileSync(join(dir, 'Dockerfile.dockerignore'), '')],
  ])('knows nothing when %s', async (_, change) => {
    const given = await remembered();
    expect(given.answer()).toEqual(LINES);
    change(given);
    expect(given.answer()).toBeUndefined();
  });

  it('knows nothing when a blob or the whole store is gone', async () => {
    const { again, answer, root } = await remembered(FILES, undefined, ownStore());
    const blobs = join(root, 'blobs/sha256');
    rmSync(join(blobs, readdirSync(blobs)[0] ?? ''));
    expect(answer()).toBeUndefined();
    await again({});
    expect(answer()).toEqual(LINES);
    renameSync(root, `${root}-moved`);
    expect(answer()).toBeUndefined();
  });

  it('knows nothing when the store’s index or the record itself is another', async () => {
    const { answer, recordFile, root } = await remembered(FILES, undefined, ownStore());
    const index = join(root, 'index.json');
    const edits: [string, string, (text: string) => string][] = [
      ['the tag is gone', index, (text) => text.replaceAll('app:v1', 'b:1')],
      ['another image', index, (text) => text.replace(/sha256:[0-9a-f]{64}/, `sha256:${'a'.repeat(64)}`)],
      ['a damaged index', index, () => '{'],
      ['a cut record', recordFile, (text) => text.slice(0, -5)],
      ['another version', recordFile, (text) => text.replace(/"version":"[^"]+"/, '"version":"0.0.1"')],
      ['another command line', recordFile, (text) => text.replace('"app:v1",', '"app:v2",')],
    ];
    for (const [what, file, edit] of edits) {
      const before = readFileSync(file, 'utf8');
      const after = edit(before);
      expect(after, what).not.toBe(before);
      writeFileSync(file, after);
      expect(answer(), what).toBeUndefined();
      writeFileSync(file, before);
      expect(answer(), what).toEqual(LINES);
    }
  });

  it.each<[string, (dir: string) => void]>([
    ['a link is turned elsewhere', (dir) => symlinkSync('Dockerfile.b', join(dir, 'link'))],
    ['the end of the links is edited', (dir) => appendFileSync(join(dir, 'Dockerfile.a'), 'ENV A=1\n')],
  ])('knows nothing when %s in a chain of links to the Dockerfile', async (_, change) => {
    const { answer, dir } = await remembered(
      { 'Dockerfile.a': 'FROM scratch\n', 'Dockerfile.b': '' },
      (at) => {
        symlinkSync('link', join(at, 'Dockerfile'));
        symlinkSync('Dockerfile.a', join(at, 'link'));
        return {};
      },
    );
    expect(answer()).toEqual(LINES);
    if (_.startsWith('a link')) rmSync(join(dir, 'link'));
    change(dir);
    expect(answer()).toBeUndefined();
  });

  it('knows nothing when what a dangling link leads to appears', async () => {
    const { answer, dir } = await remembered(FILES, (at) => {
      symlinkSync('ignore', join(at, '.dockerignore'));
      return {};
    });
    expect(answer()).toEqual(LINES);
    writeFileSync(join(dir, 'ignore'), 'src/a');
    expect(answer()).toBeUndefined();
  });

  it("knows nothing when Docker's settings change, which may have proxies", async () => {
    const { answer, dir } = await remembered(FILES, (at) => ({
      env: { SOURCE_DATE_EPOCH: '0', VERSION: '1', DOCKER_CONFIG: at },
    }));
    expect(answer()).toEqual(LINES);
    writeFileSync(join(dir, 'config.json'), '{}');
    expect(answer()).toBeUndefined();
  });

  it('knows nothing when the layout of a base image changes', async () => {
    const files = { Dockerfile: 'FROM base\nCOPY src /src\n', 'src/a': 'a' };
    const { answer, dir } = await remembered(files, async (at) => {
      await makeLayout(join(at, 'layout'), 'v1', { layers: [{ f: 'base' }] });
      return { platform: 'linux/amd64', buildContexts: { base: 'oci-layout://layout:v1' } };
    });
    expect(answer()).toEqual(LINES);
    await makeLayout(join(dir, 'layout'), 'v1', { layers: [{ f: 'new' }] });
    expect(answer()).toBeUndefined();
  });
});

describe('rememberBuild()', () => {
  it.each<[string, Partial<BuildOptions>]>([
    ['wrote a directory', { outputs: [{ type: 'store' }, { type: 'local', dest: 'out' }] }],
    ['made no image', { outputs: [{ type: 'cacheonly' }] }],
    ['used no cache', { noCache: true }],
    ['used no cache for a stage', { noCacheFilter: ['x'] }],
    ['asks a registry each time', { pull: 'always' }],
    ['asks a registry for what is newer', { pull: 'newer' }],
    ['had its Dockerfile as text', { dockerfileText: 'FROM scratch\nCOPY src /\n' }],
  ])('keeps nothing, and forgets what was kept, when the build %s', async (_, options) => {
    const { answer, again, recordFile } = await remembered();
    expect(answer()).toEqual(LINES);
    await again(options);
    expect(answer()).toBeUndefined();
    expect(existsSync(recordFile)).toBe(false);
  });

  it('keeps nothing when a file is written while the build runs', async () => {
    const { again, dir, recordFile } = await remembered();
    let written = false;
    const onEvent = (): void => {
      if (!written) writeFileSync(join(dir, 'src/a'), 'b');
      written = true;
    };
    await again({ onEvent });
    expect(existsSync(recordFile)).toBe(false);
  });
});
