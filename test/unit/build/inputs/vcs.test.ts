import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { gitLabels, readVcs } from '../../../../src/build/inputs/vcs.ts';

const top = mkdtempSync(join(tmpdir(), 'ocibuild-vcs-'));
afterAll(() => rmSync(top, { recursive: true, force: true }));
const env = {
  PATH: process.env.PATH,
  HOME: top,
  GIT_CEILING_DIRECTORIES: tmpdir(),
  GIT_CONFIG_NOSYSTEM: '1',
};
const { signal } = new AbortController();
const git = (dir: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
    cwd: dir,
    env,
    encoding: 'utf8',
  });

function createCheckout(name: string): string {
  const dir = join(top, name);
  mkdirSync(join(dir, 'sub'), { recursive: true });
  writeFileSync(join(dir, 'sub/file'), '1');
  git(dir, 'init', '-q');
  git(dir, 'add', '.');
  git(dir, 'commit', '-qm', 'x');
  git(dir, 'remote', 'add', 'origin', 'https://me:password@git.example/x/y.git');
  return dir;
}

describe('readVcs()', () => {
  it('tells commit, place and remote of a checkout, without credentials', async () => {
    const dir = createCheckout('clean');
    const commit = git(dir, 'rev-parse', 'HEAD').trim();
    expect(await readVcs(join(dir, 'sub'), env, signal)).toEqual({
      source: 'https://git.example/x/y.git',
      revision: commit,
      'localdir:context': 'sub',
    });
    writeFileSync(join(dir, 'sub/file'), '2');
    expect((await readVcs(dir, env, signal)).revision).toBe(`${commit}-dirty`);
    const unchecked = { ...env, BUILDX_GIT_CHECK_DIRTY: 'false' };
    expect((await readVcs(dir, unchecked, signal)).revision).toBe(commit);
    expect(await readVcs(dir, { ...env, BUILDX_GIT_INFO: '0' }, signal)).toEqual({});
  });

  it('knows nothing when there is no checkout, no directory or no git', async () => {
    const dir = join(top, 'plain');
    mkdirSync(dir);
    expect(await readVcs(dir, env, signal)).toEqual({});
    expect(await readVcs('', env, signal)).toEqual({});
    expect(await readVcs(dir, { ...env, PATH: dir }, signal)).toEqual({});
  });

  it('stops when the build is cancelled', async () => {
    await expect(readVcs(top, env, AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('gitLabels()', () => {
  it('gives commit, remote and place of the Dockerfile where BUILDX_GIT_LABELS asks for them', async () => {
    const dir = createCheckout('labels');
    const places = { dir: join(dir, 'sub'), dockerfile: join(dir, 'sub/Dockerfile') };
    expect(await gitLabels(places, env, signal)).toEqual({});
    const asked = { ...env, BUILDX_GIT_LABELS: '1', BUILDX_GIT_INFO: 'false' };
    const labels = {
      'org.opencontainers.image.revision': git(dir, 'rev-parse', 'HEAD').trim(),
      'org.opencontainers.image.source': 'https://git.example/x/y.git',
    };
    const entrypoint = { 'com.docker.image.source.entrypoint': 'sub/Dockerfile' };
    expect(await gitLabels(places, asked, signal)).toEqual({ ...labels, ...entrypoint });
    const full = { ...env, BUILDX_GIT_LABELS: 'full' };
    expect(await gitLabels({ ...places, dockerfile: '/elsewhere/Dockerfile' }, full, signal)).toEqual(labels);
    expect(await gitLabels({ ...places, dockerfile: undefined }, full, signal)).toEqual(labels);
    expect(await gitLabels({ dir: '', dockerfile: undefined }, full, signal)).toEqual({});
  });
});
