import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { CacheMountDir } from '../../src/build/prune/mounts.ts';
import type { PruneResult } from '../../src/build/prune/prune.ts';
import type { DiskUsage } from '../../src/build/prune/types.ts';
import { createProject, mountTmpfs, type Project, SHELL } from './cli-support.ts';

const DOCKERFILE = `${SHELL}
RUN --mount=type=cache,target=/c,id=npm busybox dd if=/dev/zero of=/c/x bs=1000000 count=2; echo >/kept
FROM scratch
ARG N=0
COPY --from=0 /kept /kept
COPY busybox /busybox
RUN ["/busybox", "touch", "/done"]
`;

async function ok(project: Project, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await project.run(args);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  return stdout.toString();
}

const usage = async (project: Project, ...args: string[]): Promise<DiskUsage> =>
  JSON.parse(await ok(project, 'du', '--format', 'json', ...args));
const pruned = async (project: Project, ...args: string[]): Promise<PruneResult> =>
  JSON.parse(await ok(project, 'prune', '--force', '--format', 'json', ...args));
const mounts = async (project: Project): Promise<readonly CacheMountDir[]> =>
  JSON.parse(await ok(project, 'cache', 'ls', '--format', 'json'));

/** skopeo reads every byte and checks each digest. */
function verify({ store, dir }: Project, name: string): void {
  const dest = join(dir, 'copied');
  execFileSync('skopeo', ['copy', '-q', `oci:${store}:${name}`, `dir:${dest}`]);
  rmSync(dest, { recursive: true });
}

describe('du, prune and cache', () => {
  it('show what is there, remove what was asked for, and leave images whole', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE });
    await ok(project, 'build', '-q', '-t', 'app:v1', '.');
    const { items, totalBytes, reclaimableBytes } = await usage(project);
    expect(items.find(({ cacheMount }) => cacheMount === 'npm')?.bytes).toBeGreaterThan(2_000_000);
    const description = expect.stringMatching(/RUN .*\/done/) as string;
    expect(items).toContainEqual(expect.objectContaining({ description, form: 'snapshot', shared: true }));
    expect(items).toContainEqual(expect.objectContaining({ description, form: 'blob', reclaimable: false }));
    expect(items).toContainEqual(expect.objectContaining({ type: 'image', description: 'app:v1' }));
    expect(totalBytes).toBeGreaterThan(reclaimableBytes);
    expect(await ok(project, 'du')).toMatch(/^Reclaimable: +\d/m);

    const would = JSON.parse(await ok(project, 'prune', '--dry-run', '--format', 'json')) as PruneResult;
    expect(await mounts(project)).toMatchObject([{ id: 'npm', users: 0 }]);
    const mount = (await ok(project, 'cache', 'path', 'npm')).trim();
    expect(statSync(join(mount, 'x')).size).toBe(2_000_000);
    expect(await ok(project, 'cache', 'rm', 'npm', 'npm')).toBe('npm\n');
    expect(existsSync(mount)).toBe(false);

    // Only the first stage is no part of the image.
    const { removed } = await pruned(project);
    expect(removed.length).toBeLessThan(would.removed.length);
    expect(removed.some(({ shared }) => shared)).toBe(false);
    verify(project, 'app:v1');
    await pruned(project, '--all');
    verify(project, 'app:v1');
    expect((await usage(project)).reclaimableBytes).toBe(0);
    expect(readdirSync(join(project.store, 'snapshots'))).toEqual([]);
    expect(await ok(project, 'build', '-q', '-t', 'again:v1', '.')).toMatch(/^sha256:/);

    await ok(project, 'rmi', 'app:v1', 'again:v1');
    await pruned(project, '--all');
    expect(readdirSync(join(project.store, 'blobs/sha256'))).toEqual([]);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('leave a cache mount alone while a step or a shell has it', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE });
    await ok(project, 'build', '-q', '-o', 'type=cacheonly', '.');
    const env = { SHELL: join(project.dir, 'shell') };
    writeFileSync(env.SHELL, '#!/bin/sh\necho here >mark; while [ -e mark ]; do sleep 0.02; done\n', {
      mode: 0o755,
    });
    const { ended } = project.start(['cache', 'shell', 'npm'], { env });
    const mount = (await ok(project, 'cache', 'path', 'npm')).trim();
    while (!existsSync(join(mount, 'mark'))) await sleep(20);
    const refused = await project.run(['cache', 'rm', 'npm']);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error\[CACHE_MOUNT_IN_USE\]/) });
    const { removed } = await pruned(project, '--filter', 'cache-mount=npm');
    expect(removed).toEqual([]);
    // A shell that is not here, and one that is killed.
    const other = { env: { SHELL: '/no/such/shell' }, input: 'kill -9 $$\n' };
    expect(await project.run(['cache', 'shell', 'npm'], other)).toMatchObject({ code: 137, stderr: '' });
    rmSync(join(mount, 'mark'));
    expect(await ended).toMatchObject({ code: 0 });
    expect((await pruned(project, '--filter', 'cache-mount=npm')).removed).toHaveLength(1);
    await ok(project, 'build', '-q', '--no-cache', '-o', 'type=cacheonly', '.');
    expect(await ok(project, 'cache', 'rm', '--all')).toBe('npm\n');
    expect(await mounts(project)).toEqual([]);
  });

  it('ask before they remove anything', async () => {
    const project = createProject({});
    expect(await project.run(['prune'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--force'),
    });
  });
});

describe('prune under load', () => {
  it('fails no build and breaks no image, also where it is killed', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE });
    let building = true;
    const build = async (name: string): Promise<void> => {
      for (let i = 0; i < 2; i++)
        await ok(project, 'build', '-q', '-t', name, '--build-arg', `N=${name}${i % 2}`, '.');
    };
    const prunes = async (): Promise<void> => {
      let killed = 0;
      // On a quick machine the builds may be over before one was killed.
      for (let i = 0; building || killed === 0; i++) {
        const { child, ended } = project.start(['prune', '--all', '--force']);
        if (i % 2 === 1) {
          await sleep(20 + ((i * 37) % 330));
          if (child.kill('SIGKILL')) killed++;
          await ended;
        } else expect((await ended).stderr).toBe('');
      }
    };
    const pruning = prunes();
    await Promise.all(['one:v1', 'two:v1'].map(build)).finally(() => {
      building = false;
    });
    await pruning;
    for (const name of ['one:v1', 'two:v1']) verify(project, name);
    await pruned(project, '--all');
    for (const name of ['one:v1', 'two:v1']) verify(project, name);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });
});

describe('a store that is cleared by itself', () => {
  it('is after a build that comes late enough, unless it is told not to be', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE });
    const env = { OCIBUILD_GC_MAX_USED_SPACE: '1', OCIBUILD_GC_RESERVED_SPACE: '0' };
    const mark = join(project.store, 'gc');
    const snapshots = () => readdirSync(join(project.store, 'snapshots'));
    const build = (more: Readonly<Record<string, string>>) =>
      project.run(['build', '-q', '-o', 'type=cacheonly', '.'], { env: { ...env, ...more } });
    await build({});
    const early = statSync(mark).mtimeMs;
    utimesSync(mark, 1, 1);
    await build({ OCIBUILD_GC: 'off' });
    expect(statSync(mark).mtimeMs).toBe(1000);
    expect(snapshots()).not.toEqual([]);
    await build({});
    expect(statSync(mark).mtimeMs).toBeGreaterThanOrEqual(early);
    while (snapshots().length > 0) await sleep(50);
  });
});

describe('prune on a full disk', () => {
  it('makes room', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE });
    const disk = mountTmpfs('size=30m');
    const store = join(disk, 'store');
    mkdirSync(store);
    const options = { store };
    expect(await project.run(['build', '-q', '-o', 'type=cacheonly', '.'], options)).toMatchObject({
      code: 0,
    });
    execFileSync('sh', ['-c', `dd if=/dev/zero of=${disk}/filler bs=4096 2>/dev/null || true`]);
    const { code, stderr } = await project.run(['prune', '--all', '--force'], options);
    expect([stderr, code]).toEqual(['', 0]);
    expect(readdirSync(join(store, 'snapshots'))).toEqual([]);
    const { bavail, bsize } = statfsSync(disk);
    // The cache mount alone took 2 MB.
    expect(bavail * bsize).toBeGreaterThan(4_000_000);
    rmSync(join(disk, 'filler'));
    expect(await project.run(['build', '-q', '-t', 'app:v1', '.'], options)).toMatchObject({ code: 0 });
  });
});
