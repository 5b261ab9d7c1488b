import { execFileSync } from 'node:child_process';
import { mkdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type CheckedImage, checkedLayout } from '../support/images.ts';
import { createProject, type Project, SHELL } from './cli-support.ts';

const TIME = 1_600_000_000;

/** Two contexts with the same files in other directories, one second apart, and a store for each. */
async function twins(dockerfile: string): Promise<readonly [Project, Project]> {
  const first = createProject({
    Dockerfile: dockerfile,
    'src/a.txt': 'a\n',
    'src/deep/b.sh': '#!/bin/sh\n',
    'c.conf': 'key=value\n',
  });
  execFileSync('chmod', ['755', join(first.dir, 'src/deep/b.sh')]);
  execFileSync('ln', ['-s', '../c.conf', join(first.dir, 'src/link')]);
  const second = createProject({});
  // Other inode numbers, ctimes and creation order; the facts that a layer keeps are the same.
  execFileSync('cp', ['-a', `${first.dir}/.`, second.dir]);
  await sleep(1100);
  return [first, second];
}

let count = 0;

async function build(project: Project, args: readonly string[], umask = '022'): Promise<CheckedImage> {
  const dest = join(project.store, '..', `out${count++}`);
  const result = await project.run(['-q', '-o', `type=oci,tar=false,dest=${dest}`, ...args, '.'], { umask });
  expect(result).toMatchObject({ code: 0, stderr: '' });
  const image = await checkedLayout(dest);
  expect(result.stdout.toString().trim()).toBe(image.manifestDigest);
  return image;
}

const WITHOUT_RUN = `FROM scratch AS base
COPY busybox /bin/
COPY --chmod=640 --chown=7:8 src /srv/src/
COPY <<EOF /etc/made.conf
from a heredoc
EOF
FROM base
WORKDIR /work/deep
COPY --from=base /srv/src/deep /moved/
ADD c.conf link* /etc/
ENV A=1
`;

describe('a build', () => {
  it('gives the same layers when place, time, umask and store differ', async () => {
    const [first, second] = await twins(WITHOUT_RUN);
    const one = await build(first, [], '022');
    const two = await build(second, [], '077');
    expect(two.diffIds).toEqual(one.diffIds);
    expect(two.layers).toEqual(one.layers);
    expect(one.files.get('/srv/src/deep/b.sh')).toMatchObject({ mode: '640', uid: 7, gid: 8 });
    expect(one.files.get('/work/deep')).toMatchObject({ mode: '755', uid: 0 });
  });

  it.each([
    ['build argument', ['--build-arg', `SOURCE_DATE_EPOCH=${TIME}`], {}],
    ['environment variable', [], { SOURCE_DATE_EPOCH: String(TIME) }],
  ])('gives the same manifest when SOURCE_DATE_EPOCH is set as %s', async (_how, args, env) => {
    const [first, second] = await twins(
      `${WITHOUT_RUN}SHELL ["/bin/busybox", "sh", "-c"]
RUN echo made >/made && /bin/busybox touch -d @${TIME} /made
RUN /bin/busybox mkdir /d && /bin/busybox ln /made /d/hard && /bin/busybox touch -h -d @${TIME} /d /d/hard
`,
    );
    const flags = ['-q', '-t', 'app', ...args, '.'];
    const one = await first.run(flags, { env });
    await sleep(1100);
    const two = await second.run(flags, { env, umask: '077' });
    expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(two.stdout.toString()).toBe(one.stdout.toString());
    const image = await checkedLayout(first.store, 'app:latest');
    expect(image.config.created).toBe('2020-09-13T12:26:40Z');
    expect(image.files.get('/made')).toMatchObject({ hardlinkOf: '/d/hard' });
  });

  it('gives the same manifest when every step is cached, for every output and after a change of the Dockerfile text', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo made >/made\nENV A=1\nWORKDIR /w\n` });
    const one = await build(project, []);
    await sleep(1100);
    const two = await build(project, []);
    const toStore = await project.run(['-q', '-t', 'app', '.']);
    project.write({ Dockerfile: `# a comment\n${SHELL}\nRUN  echo made >/made\nENV A=1\nWORKDIR /w\n` });
    const three = await build(project, []);
    expect(two.manifestDigest).toBe(one.manifestDigest);
    expect(toStore.stdout.toString().trim()).toBe(one.manifestDigest);
    expect(three.manifestDigest).toBe(one.manifestDigest);
  });

  it('gives the same bytes in every form when SOURCE_DATE_EPOCH is set', async () => {
    const twin = await twins(
      `${WITHOUT_RUN}SHELL ["/bin/busybox", "sh", "-c"]\nRUN echo made >/made && ln /made /again\n`,
    );
    const sums: string[] = [];
    for (const { run, store } of twin) {
      const out = join(store, '..', 'out');
      const outputs = [
        `type=oci,dest=${out}.oci.tar,rewrite-timestamp=true`,
        `type=oci,dest=${out}.esgz.tar,rewrite-timestamp=true,compression=estargz`,
        `type=oci,tar=false,dest=${out},rewrite-timestamp=true,compression=zstd`,
        `type=docker,dest=${out}.docker.tar,rewrite-timestamp=true,oci-mediatypes=false`,
        `type=tar,dest=${out}.tar`,
        // Another time, for this output alone.
        `type=tar,dest=${out}.early.tar,source-date-epoch=1`,
      ].flatMap((output) => ['-o', output]);
      const env = { SOURCE_DATE_EPOCH: String(TIME) };
      const { code, stderr } = await run(['-q', '-t', 'app:v1', ...outputs, '.'], { env });
      expect(code, stderr).toBe(0);
      const times = execFileSync('tar', ['--utc', '-tvf', `${out}.early.tar`], { encoding: 'utf8' });
      expect(new Set(times.match(/\d{4}-\d\d-\d\d \d\d:\d\d/g))).toEqual(new Set(['1970-01-01 00:00']));
      const script = 'sha256sum out*.tar && find out -type f | sort | xargs sha256sum';
      if (sums.length === 0) await sleep(1100);
      sums.push(execFileSync('sh', ['-c', script], { cwd: join(store, '..'), encoding: 'utf8' }));
    }
    expect(sums[1]).toBe(sums[0]);
    expect(sums[0]?.match(/\.tar\n/g)).toHaveLength(5);
  });

  it('runs nothing again when only times of the context change', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}COPY data /data\nRUN echo made >/made\n`,
      data: '1',
    });
    const one = await build(project, []);
    mkdirSync(join(project.dir, 'unused'));
    utimesSync(join(project.dir, 'data'), 1, 1);
    const two = await build(project, []);
    expect(two.manifestDigest).toBe(one.manifestDigest);
  });

  it('clamps the times of its own layers with rewrite-timestamp, and leaves the base alone', async () => {
    const project = createProject({ Dockerfile: `${SHELL}COPY data /base\n`, data: '1' });
    const base = await build(project, ['-t', 'base']);
    const layout = join(project.dir, 'layout');
    expect(await project.run(['-q', '-o', `type=oci,tar=false,dest=${layout}`, '.'])).toMatchObject({
      code: 0,
    });
    project.write({ Dockerfile: 'FROM base\nRUN echo made >/made && ln /made /again\n' });
    const digests: string[] = [];
    for (const name of ['one', 'two']) {
      const dest = join(project.store, '..', name);
      const flags = ['--no-cache', '--build-context', `base=oci-layout://${layout}`];
      const output = ['-o', `type=oci,tar=false,dest=${dest},rewrite-timestamp=true`];
      const env = { SOURCE_DATE_EPOCH: String(TIME) };
      const { code, stderr } = await project.run(['-q', ...flags, ...output, '.'], { env });
      expect(code, stderr).toBe(0);
      const image = await checkedLayout(dest);
      expect(image.diffIds.slice(0, -1)).toEqual(base.diffIds);
      expect(image.files.get('/made')).toMatchObject({ hardlinkOf: '/again' });
      const blob = join(dest, 'blobs', ...(image.layers.at(-1)?.digest ?? '').split(':'));
      const listed = execFileSync('tar', ['--utc', '-tvzf', blob], { encoding: 'utf8' });
      expect(listed.match(/\d{4}-\d\d-\d\d \d\d:\d\d/g)).toContain('2020-09-13 12:26');
      expect(listed).not.toMatch(new RegExp(` ${new Date().getUTCFullYear()}-`));
      digests.push(image.manifestDigest);
      await sleep(1100);
    }
    expect(digests[1]).toBe(digests[0]);
  });
});
