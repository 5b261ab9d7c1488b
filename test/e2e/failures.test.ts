import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { build } from '../../src/build/build.ts';
import { type CliResult, createProject, type Project, SHELL } from './cli-support.ts';

/** busybox with all its names, and a shell without options. */
const BASE = `${SHELL}RUN /bin/busybox --install -s /bin
SHELL ["/bin/sh", "-c"]
`;

const FAILING = `${BASE}WORKDIR /src
ARG VERSION=3
ENV MODE=test
RUN --mount=type=cache,target=/cache --mount=type=secret,id=token \\
  mkdir -p /out/sub && ln -s /etc /out/link && echo report >/out/report.xml && chmod 4755 /out/report.xml \\
  && mknod /out/device c 1 3 && echo deep >/out/sub/deep && echo of-cache >/cache/kept \\
  && cat /run/secrets/token && echo && echo last words && exit 3
`;

interface Terminal {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
  text(): string;
}

/** Runs `ocibuild ARGS…` on a terminal of its own, as script(1) makes it. */
function onTerminal(project: Project, args: readonly string[]): Terminal {
  const { command, env } = project.command(args);
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn('script', ['-qefc', line, '/dev/null'], { cwd: project.dir, env });
  let shown = '';
  child.stdout.on('data', (data: Buffer) => {
    shown += data.toString();
  });
  const ended = new Promise<CliResult>((done) => {
    child.on('close', (code) => done({ code, stdout: Buffer.from(shown), stderr: '' }));
  });
  return { child, ended, text: () => shown };
}

/** The prompt of busybox' shell; it asks the terminal where its cursor is. */
const PROMPT = /\/src # /;

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(dir, join(parentPath, name)));
}

async function until(what: () => boolean): Promise<void> {
  await expect.poll(what, { timeout: 10_000, interval: 20 }).toBe(true);
}

describe('--debug-shell', () => {
  const secret = ['--secret', 'id=token,src=token'];

  it('opens a shell with the mounts, variables and directory of the step that failed', async () => {
    const project = createProject({ Dockerfile: FAILING, token: 'hunter2hunter2' });
    const { child, ended, text } = onTerminal(project, [...secret, '--debug-shell', '.']);
    await until(() => PROMPT.test(text()));
    child.stdin?.write('echo "[$VERSION $MODE $(pwd) $(cat /cache/kept) $(cat /out/report.xml)]"\n');
    await until(() => text().includes('[3 test /src of-cache report]'));
    child.stdin?.write('cat /run/secrets/token; touch /new; exit 7\n');
    const { code } = await ended;
    expect(text()).toContain('hunter2hunter2');
    expect(code).toBe(1);
    expect(text().match(/error\[RUN_EXIT_NONZERO\]/g)).toHaveLength(2);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
    // What the step wrote is kept, what was done in the shell is not.
    const [kept = ''] = readdirSync(join(project.store, 'failed'));
    const { own } = JSON.parse(readFileSync(join(project.store, 'failed', kept), 'utf8')) as { own: string };
    expect(existsSync(join(project.store, 'snapshots', own, 'fs/new'))).toBe(false);

    const debug = (...words: string[]) => project.run(['debug', 'latest', ...words]);
    const seen = await debug(
      'sh',
      '-c',
      'cat /out/report.xml /cache/kept /run/secrets/token; pwd; touch /new; exit 9',
    );
    expect([seen.code, seen.stdout.toString()]).toEqual([9, 'report\nof-cache\nhunter2hunter2/src\n']);
    expect((await debug('ls', '/new')).code).toBe(1);
    expect((await debug('nosuch')).code).toBe(127);
    expect((await project.run(['debug'])).stderr).toContain('name a program to run in its place');

    // The next build lets go of it.
    project.write({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    expect((await project.run(['.'])).code).toBe(0);
    expect(readdirSync(join(project.store, 'failed'))).toEqual([]);
    expect(existsSync(join(project.store, 'snapshots', own))).toBe(false);
    expect((await debug('ls')).stderr).toContain('error[FAILED_STEP_NOT_FOUND]');
    expect((await project.run(['debug', 'no-build', 'ls'])).stderr).toContain('error[BUILD_NOT_FOUND]');
  });

  it('leaves nothing when it is killed in the shell, after the next build', async () => {
    const project = createProject({ Dockerfile: FAILING, token: 'hunter2' });
    const { ended, text } = onTerminal(project, [...secret, '--debug-shell', '.']);
    await until(() => PROMPT.test(text()));
    const [owner = ''] = readdirSync(join(project.store, 'run'));
    process.kill(Number(owner.split('-')[0]), 'SIGKILL');
    await ended;
    project.write({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    expect((await project.run(['.'])).code).toBe(0);
    await expect.poll(() => project.leftovers(), { timeout: 20_000 }).toEqual([]);
    expect(readdirSync(join(project.store, 'failed'))).toEqual([]);
  });

  it('says that it needs a terminal when there is none', async () => {
    const project = createProject({ Dockerfile: FAILING });
    const { code, stderr } = await project.run(['--debug-shell', '.']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error\[USAGE_INVALID\]: Cannot use --debug-shell without a terminal/);
  });
});

describe('--export-on-failure', () => {
  it('copies files of the step and of its cache mounts, and nothing dangerous', async () => {
    const project = createProject({ Dockerfile: FAILING, token: 'hunter2hunter2', 'there/old': 'old' });
    const wanted = [
      ...['4:/out=reports', '4:/out/report.xml=one.xml', '*:/nothing=none'],
      ...['RUN --mount=type=cache:/cache/kept=there', '1:/out=no', 'nobody:/out=no'],
      ...[
        '4:/out/*.xml=flat',
        '4:/**/dee?=deep',
        '*:/c*/kept=no',
        '*:/cache/k*=of-cache',
        '*:/out/link/*=no',
      ],
    ];
    const { code, stderr } = await project.run([
      ...['--secret', 'id=token,src=token', '--progress', 'plain'],
      ...wanted.flatMap((each) => ['--export-on-failure', each]),
      '.',
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain('Cannot export "/nothing" of the failed step: there is no such path');
    expect(stderr).toContain('Cannot export "/out/link/*" of the failed step: nothing matches it');
    expect(filesBelow(join(project.dir, 'flat'))).toEqual(['report.xml']);
    expect(filesBelow(join(project.dir, 'deep'))).toEqual(['out/sub/deep']);
    expect(filesBelow(join(project.dir, 'of-cache'))).toEqual(['kept']);
    expect(stderr).toContain('--export-on-failure "nobody" names none of the steps');
    expect(existsSync(join(project.dir, 'no'))).toBe(false);
    expect(readFileSync(join(project.dir, 'there/kept'), 'utf8')).toBe('of-cache\n');

    const reports = join(project.dir, 'reports');
    expect(readdirSync(reports).sort()).toEqual(['link', 'report.xml', 'sub']);
    expect(readFileSync(join(reports, 'report.xml'), 'utf8')).toBe('report\n');
    expect(lstatSync(join(reports, 'report.xml')).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(reports, 'link'))).toBe('/etc');
    expect(readFileSync(join(reports, 'sub/deep'), 'utf8')).toBe('deep\n');
    expect(readFileSync(join(project.dir, 'one.xml'), 'utf8')).toBe('report\n');
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });
});

describe('builds and their logs', () => {
  it('are kept whole, without secrets, and are found by number, stage and instruction', async () => {
    const token = 'hunter2hunter2';
    const project = createProject({
      Dockerfile: `${FAILING.replace('FROM scratch', 'FROM scratch AS made')}FROM made\n`,
      token,
    });
    await project.run(['--secret', 'id=token,src=token', '-q', '.']);
    const list = (await project.run(['builds'])).stdout.toString();
    expect(list).toMatch(
      /^ID +STARTED +TIME +STATE +STEPS +RESULT\n\w{12} .* failed +0\/4 cached {2}Cannot finish/,
    );
    const log = async (...args: string[]): Promise<string> =>
      (await project.run(['logs', '--build', 'latest', ...args])).stdout.toString();
    expect(await log('RUN --mount')).toBe('***\nlast words\n');
    expect(await log('made/4')).toBe('***\nlast words\n');
    expect(await log('made')).toMatch(/^#\d+ \[made 1\/4\] COPY/);
    expect(await log('--tail', '1', '4/4')).toBe('last words\n');
    const [id = ''] = list.split('\n').slice(1)[0]?.split(' ') ?? [];
    const stored = readdirSync(join(project.store, 'builds', id))
      .map((name) => readFileSync(join(project.store, 'builds', id, name), 'utf8'))
      .join('\n');
    expect(stored).not.toContain(token);
    const missing = await project.run(['logs', '--build', id, 'RUN nothing']);
    expect(missing.stderr).toMatch(/^error\[BUILD_STEP_NOT_FOUND\]/);
    expect((await project.run(['logs', '--build', 'zzz'])).stderr).toMatch(/^error\[BUILD_NOT_FOUND\]/);
    expect((await project.run(['history'])).stdout.toString()).toBe(list);
    expect((await project.run(['builds', 'rm', id])).stdout.toString()).toBe(`${id}\n`);
    expect((await project.run(['builds', '-q'])).stdout.toString()).toBe('');
  });

  it('keep what a step had printed when the build was killed', async () => {
    const project = createProject({ Dockerfile: `${BASE}RUN printf 'before\\nthe end' && sleep 60\n` });
    const { child, ended } = project.start(['--progress', 'plain', '.']);
    const dir = (): string =>
      join(project.store, 'builds', readdirSync(join(project.store, 'builds'))[0] ?? '');
    await until(() => {
      if (!existsSync(join(project.store, 'builds'))) return false;
      return readdirSync(dir()).some((name) => readFileSync(join(dir(), name), 'utf8').endsWith('the end'));
    });
    child.kill('SIGKILL');
    await ended;
    const { builds } = {
      builds: JSON.parse((await project.run(['builds', '--format', 'json'])).stdout.toString()),
    };
    expect(builds).toMatchObject([{ status: 'killed' }]);
    expect((await project.run(['logs', '--build', 'latest', 'RUN printf'])).stdout.toString()).toBe(
      'before\nthe end',
    );
  });

  it('leave no record when nothing was to be done', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const build = () => project.run(['-t', 'app', '.']);
    await build();
    // Files must be older than the clock's grain before a build of them is remembered.
    await expect
      .poll(
        async () => {
          const before = readdirSync(join(project.store, 'builds')).length;
          await build();
          return readdirSync(join(project.store, 'builds')).length - before;
        },
        { timeout: 20_000 },
      )
      .toBe(0);
  });
});

describe('--explain', () => {
  it('names the file, the argument, and the step that the others follow', async () => {
    const dockerfile = `${BASE}COPY src /app
ARG VERSION=1
RUN echo "$VERSION" >/version
RUN date >/now
`;
    const project = createProject({ Dockerfile: dockerfile, 'src/a.ts': '1', 'src/b.ts': '1' });
    const reasons = async (...args: string[]): Promise<string[]> => {
      const { stderr } = await project.run(['--explain', '--progress', 'plain', ...args, '.']);
      return [...stderr.matchAll(/^#\d+ not cached: (.*)$/gm)].map(([, reason = '']) => reason);
    };
    expect(new Set(await reasons())).toEqual(new Set(['first build of this step']));
    expect(await reasons('--build-arg', 'VERSION=2')).toEqual([
      'ARG VERSION 1 → 2',
      'ARG VERSION 1 → 2',
      'because [4/5] RUN echo "2" >/version changed',
    ]);
    project.write({ 'src/a.ts': '2', 'src/c.ts': '1' });
    writeFileSync(join(project.dir, 'src/b.ts'), '1');
    expect(await reasons('--build-arg', 'VERSION=2')).toEqual([
      'src/a.ts changed',
      'src/c.ts added',
      'because [3/5] COPY src /app changed',
      'because [3/5] COPY src /app changed',
    ]);
    project.write({ Dockerfile: dockerfile.replace('date', 'date -u') });
    expect(await reasons('--build-arg', 'VERSION=2')).toEqual(['the instruction changed']);
  });
});

describe('onFailedStep()', () => {
  it('gets the error of its own reader back when that refuses output', async () => {
    const project = createProject({ Dockerfile: `${BASE}RUN false\n` });
    const mine = new TypeError('mine');
    const told: unknown[] = [];
    const job = build({
      context: project.dir,
      root: project.store,
      async onFailedStep(step) {
        for (const onOutput of [
          () => Promise.reject(mine),
          () => {
            throw mine;
          },
        ]) {
          const run = step.run(['/bin/sh', '-c', 'echo said; exec sleep 600'], { onOutput });
          told.push(await run.catch((error: unknown) => error));
        }
      },
    });
    await expect(job.result).rejects.toMatchObject({ code: 'RUN_EXIT_NONZERO' });
    expect(told).toEqual([mine, mine]);
    expect(told[0]).toBe(mine);
    await expect.poll(() => project.leftovers()).toEqual([]);
  });
});
