import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createProject, mountReadOnly, mountTmpfs, type Project, SHELL } from './cli-support.ts';

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The next build of the same store must work, and nothing may lie around. */
async function expectHealthy(project: Project): Promise<void> {
  project.write({ Dockerfile: `${SHELL}RUN echo healthy\n` });
  const { code, stderr } = await project.run(['-t', 'healthy', '.']);
  expect(stderr).toContain('healthy');
  expect(code).toBe(0);
  await expectClean(project);
}

/** A child process that outlives the command empties the trash. */
async function expectClean(project: Project): Promise<void> {
  await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
}

describe('ocibuild', () => {
  it('build keeps stdout for what was asked for when it logs', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo made\nMAINTAINER me\n` });
    const files = ['--metadata-file', 'm.json', '--iidfile', 'iid'];
    const env = { BUILDX_METADATA_WARNINGS: '1' };
    const first = await project.run(['build', '-t', 'app:v0', ...files, '.'], { env });
    expect(first).toMatchObject({ code: 0, stdout: Buffer.of() });
    expect(first.stderr).toMatch(/#\d+ \[2\/2\] RUN echo made\n#\d+ \d+\.\d{3} made\n#\d+ DONE \d+\.\ds\n/);
    const quiet = await project.run(['-qt', 'app:v0', '.']);
    expect(quiet.stderr).toBe('');
    const digest = quiet.stdout.toString().trim();
    expect(digest).toMatch(DIGEST);
    const metadata = JSON.parse(readFileSync(join(project.dir, 'm.json'), 'utf8'));
    expect(metadata).toMatchObject({
      'containerimage.digest': digest,
      'image.name': 'docker.io/library/app:v0',
      'buildx.build.warnings': [{ level: 1, sourceInfo: { filename: 'Dockerfile' } }],
    });
    expect(readFileSync(join(project.dir, 'iid'), 'utf8')).toBe(metadata['containerimage.config.digest']);
    const images = await project.run(['images']);
    expect(images.stdout.toString()).toContain('app:v0');
    const raw = await project.run(['inspect', '--raw', 'app:v0']);
    expect(`sha256:${createHash('sha256').update(raw.stdout).digest('hex')}`).toBe(digest);
    const unpacked = await project.run(['unpack', 'app:v0', 'bundle']);
    expect(unpacked).toMatchObject({ code: 0, stderr: '' });
    expect(existsSync(join(project.dir, 'bundle/rootfs/bin/busybox'))).toBe(true);
  });

  it('build takes the Dockerfile from stdin when the file is a dash', async () => {
    const project = createProject({});
    const { code, stderr } = await project.run(['-f', '-', '-o', 'out', '.'], {
      input: 'FROM scratch\nCOPY busybox /here\n',
    });
    expect(stderr).not.toContain('error');
    expect(code).toBe(0);
    expect(statSync(join(project.dir, 'out/here')).size).toBe(statSync(join(project.dir, 'busybox')).size);
  });

  it('build says CACHED for every step when nothing changed but the flags', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo once\n` });
    await project.run(['-t', 'a', '.']);
    const { stderr } = await project.run(['-t', 'b', '--explain', '.']);
    expect(stderr).toMatch(/\[1\/2\] COPY busybox \/bin\/busybox\n#\d+ CACHED/);
    expect(stderr).toMatch(/\[2\/2\] RUN echo once\n#\d+ CACHED/);
  });

  it('build with nothing to do waits when a pipe that does not block is full', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const args = ['-t', 'same', '.'];
    const { command, env } = project.command(args);
    // Files as new as the build are not trusted by the next one.
    await sleep(50);
    await project.run(args, { env: { TERM: env.TERM ?? '' } });
    expect(readdirSync(join(project.store, 'last-builds'))).toHaveLength(1);
    const path = join(project.dir, '../pipe');
    execFileSync('mkfifo', [path]);
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const full = Buffer.alloc(2 ** 20, 'x');
    let held = 0;
    expect(() => {
      for (;;) held += writeSync(pipe, full);
    }).toThrow('EAGAIN');
    // Node makes what it gives to a child as stderr block again.
    const child = spawn('/bin/sh', ['-c', 'exec "$@" 2>&3', 'sh', ...command], {
      ...{ cwd: project.dir, env },
      stdio: ['ignore', 'ignore', 'ignore', pipe],
    });
    const ended = once(child, 'exit');
    await sleep(500);
    for (let left = held; left > 0; ) left -= readSync(pipe, full, 0, left, null);
    const exit = await ended;
    const text = full.toString('utf8', 0, readSync(pipe, full));
    closeSync(pipe);
    expect(exit).toEqual([0, null]);
    expect(text).toContain('CACHED');
  });

  it('build writes one JSON object a line when progress is rawjson, also for its error', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo out; exit 7\n` });
    const { code, stderr } = await project.run(['--progress', 'rawjson', '.']);
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(code).toBe(1);
    expect(lines.at(-1)).toMatchObject({ error: { code: 'RUN_EXIT_NONZERO', category: 'build' } });
    const logs = lines.flatMap((line) => line.logs ?? []);
    expect(Buffer.concat(logs.map((log) => Buffer.from(log.data, 'base64'))).toString()).toBe('out\n');
    expect(lines.some((line) => line.vertexes?.[0]?.error?.includes('exit code 7'))).toBe(true);
  });

  it.each<[string, Record<string, string>, string[], number, RegExp]>([
    ['the Dockerfile is missing', {}, ['.'], 2, /^error\[DOCKERFILE_NOT_FOUND\]: Cannot .*Dockerfile/m],
    ['the context is missing', {}, ['nowhere'], 2, /^error\[CONTEXT_NOT_FOUND\]: Cannot .*nowhere/m],
    [
      'the context lies below a file',
      { file: '' },
      ['file/dir'],
      2,
      /^error\[CONTEXT_NOT_FOUND\]: Cannot .*file\/dir.*it does not exist/m,
    ],
    [
      'a named context is a file, though no step uses it',
      { Dockerfile: 'FROM scratch\n', file: '' },
      ['--build-context', 'x=file', '.'],
      2,
      /^error\[CONTEXT_NOT_FOUND\]: Cannot .*file.*it is not a directory/m,
    ],
    [
      'the Dockerfile is named from the context',
      { 'sub/Dockerfile': 'FROM scratch\n' },
      ['-f', 'Dockerfile', 'sub'],
      2,
      /^hint: .*-f sub\/Dockerfile$/m,
    ],
    ['the value of --pull stands alone', {}, ['--pull', 'never', '.'], 2, /^hint: write --pull=never/m],
    ['help is asked for nothing', {}, ['help', 'biuld'], 2, /^error.*Cannot help with "biuld"/m],
    [
      'an instruction is unknown',
      { Dockerfile: 'FROM scratch\nCOPPY a b\n' },
      ['.'],
      2,
      /^error\[DOCKERFILE_INSTRUCTION_UNKNOWN\]: Cannot [^\n]*\n {2}Dockerfile:2:1[\s\S]*\n>2 \| COPPY a b[\s\S]*COPY/m,
    ],
    [
      'a source of COPY is missing',
      { Dockerfile: 'FROM scratch\nCOPY no/such /x\n' },
      ['.'],
      1,
      /^error\[COPY_SOURCE_MISSING\]: Cannot [^\n]*no\/such[\s\S]*\n>2 \| COPY no\/such/m,
    ],
    [
      'a RUN step fails',
      { Dockerfile: `${SHELL}RUN echo the reason >&2; exit 3\n` },
      ['.'],
      1,
      /^error\[RUN_EXIT_NONZERO\]: Cannot [^\n]*exit code 3\n {2}Dockerfile:4:1 [\s\S]*last lines of the step:\n {3}\| the reason$/m,
    ],
    [
      'a stage is unknown',
      { Dockerfile: 'FROM scratch AS build\n' },
      ['--target', 'biuld', '.'],
      2,
      /"?build"?/,
    ],
    ['a flag is unknown', {}, ['--buildarg', 'a=b', '.'], 2, /hint: did you mean "--build-arg"\?/],
    ['a flag is refused', {}, ['--policy', 'x', '.'], 2, /^error\[USAGE_UNSUPPORTED\]: Cannot use --policy/m],
    [
      'prune has nobody to ask',
      {},
      ['prune'],
      2,
      /^error\[USAGE_INVALID\]: Cannot ask whether to prune: this is no terminal\nhint: write --force/m,
    ],
    [
      'the destination has no directory',
      { Dockerfile: 'FROM scratch\nCOPY busybox /\n' },
      ['-o', 'type=oci,dest=no/such/x.tar', '.'],
      1,
      /^error\[EXPORT_TARGET_INVALID\]/m,
    ],
  ])('build fails clearly when %s', async (_what, files, args, code, message) => {
    const project = createProject(files);
    const result = await project.run(args);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.match(/^error\[/gm)).toHaveLength(1);
    expect(result.stderr).not.toMatch(/^ {4}at /m);
    expect(result).toMatchObject({ code, stdout: Buffer.of() });
    await expectHealthy(project);
  });

  it('build fails with 3 when the runtime is not there', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo x\n` });
    const { code, stderr } = await project.run(['--runtime', 'no-such-runtime', '.']);
    expect(stderr).toMatch(/^error\[RUNTIME_NOT_FOUND\]: Cannot /m);
    expect(stderr).toMatch(/^hint: /m);
    expect(code).toBe(3);
    await expectHealthy(project);
  });

  it('fails with 3 in a directory that was deleted', async () => {
    const { dir, command } = createProject({});
    const { command: words, env } = command(['images']);
    const script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"';
    const { status, stderr } = spawnSync('/bin/sh', ['-c', script, 'sh', ...words], { cwd: dir, env });
    expect(stderr.toString()).toContain(
      'error[SYSCALL_FAILED]: Cannot read the current directory: it was deleted',
    );
    expect(status).toBe(3);
  });

  it('build needs no runtime when there is no RUN', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const { code } = await project.run(['-q', '.'], { env: { PATH: '/nonexistent' } });
    expect(code).toBe(0);
  });

  it('build fails with 3 when the store cannot be written', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const store = join(mountTmpfs('ro'), 'store');
    const { code, stderr } = await project.run(['.'], { store });
    expect(stderr).toMatch(/^error\[STORE_NOT_WRITABLE\]: Cannot /m);
    expect(code).toBe(3);
  });

  it('commands that only look read a store on a read-only mount, and others fail with 3', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const { stdout } = await project.run(['-q', '-t', 'app:v1', '.']);
    const store = mountReadOnly(project.store);
    const looking = ['images', 'inspect app:v1', 'history app:v1', 'history', 'du', 'cache ls', 'ps -a'];
    project.write({ 'of-store.Dockerfile': 'FROM app:v1\nLABEL a=b\n' });
    for (const words of [
      ...[...looking, 'logs --build latest', 'prune --dry-run'],
      'build --check -f of-store.Dockerfile .',
    ]) {
      const { code, stderr } = await project.run(words.split(' '), { store });
      expect(`${words}: ${code} ${stderr}`).toBe(`${words}: 0 `);
    }
    const manifest = stdout.toString().trim().replace('sha256:', 'blobs/sha256/');
    truncateSync(join(project.store, manifest), 10);
    expect(await project.run(['inspect', 'app:v1'], { store })).toMatchObject({
      ...{ code: 1, stderr: expect.stringMatching(/^error\[BLOB_DIGEST_MISMATCH\]/) },
    });
    for (const words of [
      'tag app:v1 app:v2',
      'rmi app:v1',
      'prune --force',
      'cache rm --all',
      'builds rm --all',
    ]) {
      const { code, stderr } = await project.run(words.split(' '), { store });
      expect(stderr).toMatch(/^error\[STORE_NOT_WRITABLE\]: Cannot /m);
      expect(code).toBe(3);
    }
  });

  it('build leaves no file when the disk of an export fills up', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox big /\n' });
    writeFileSync(join(project.dir, 'big'), Buffer.alloc(3_000_000, 'abcdefghijklmnopqrstuvwxyz'));
    const disk = mountTmpfs('size=512k');
    for (const output of ['type=oci', 'type=tar', 'type=oci,tar=false', 'type=local']) {
      const spec =
        `${output},dest=${disk}/out,${output.startsWith('type=oci') ? 'compression=uncompressed' : ''}`.replace(
          /,$/,
          '',
        );
      const { code, stderr } = await project.run(['-o', spec, '.']);
      expect(stderr).toMatch(/^error\[DISK_FULL\]: Cannot /m);
      expect(code).toBe(3);
      expect(readdirSync(disk)).toEqual([]);
    }
    await expectHealthy(project);
  });

  it('build fails with 3 when the disk of the store fills up, and works once there is room', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}RUN busybox dd if=/dev/zero of=/fill bs=1M count=64 || /bin/busybox dd if=/dev/zero of=/fill bs=1M count=64\n`,
    });
    const store = join(mountTmpfs('size=24m'), 'store');
    const { code, stderr } = await project.run(['.'], { store });
    expect(stderr).toMatch(/No space left on device/i);
    expect([1, 3]).toContain(code);
    project.write({ Dockerfile: `${SHELL}RUN echo small\n` });
    expect(await project.run(['-q', '.'], { store })).toMatchObject({ code: 0, stderr: '' });
  });

  it('build makes a layer anew when its blob in the store is damaged', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    await project.run(['-t', 'app', '.']);
    const layers = JSON.parse((await project.run(['inspect', '--layers', 'app'])).stdout.toString());
    const digest: string = layers[0].digest;
    const blob = join(project.store, 'blobs/sha256', digest.slice(7));
    const fd = openSync(blob, 'r+');
    writeSync(fd, Buffer.from('damage'), 0, 6, 5000);
    const dest = join(project.dir, 'out.tar');
    const { code, stderr } = await project.run(['-o', `type=oci,dest=${dest}`, '.']);
    expect(stderr).toContain(`Cannot use blob "${digest}"`);
    expect(stderr).not.toContain('error[');
    expect(code).toBe(0);
    mkdirSync(join(project.dir, 'out'));
    execFileSync('tar', ['-xf', dest, '-C', join(project.dir, 'out')]);
    const blobs = join(project.dir, 'out/blobs/sha256');
    expect(readdirSync(blobs)).toContain(digest.slice(7));
    for (const name of readdirSync(blobs)) {
      expect(
        createHash('sha256')
          .update(readFileSync(join(blobs, name)))
          .digest('hex'),
      ).toBe(name);
    }
  });

  it('build fails when the context changes while it is read', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY data /\n' });
    const data = join(project.dir, 'data');
    writeFileSync(data, '');
    truncateSync(data, 600_000_000);
    const { child, ended } = project.start(['.']);
    const running = { yes: true };
    child.on('exit', () => {
      running.yes = false;
    });
    while (running.yes) {
      appendFileSync(data, 'more');
      await sleep(20);
    }
    const { code, stderr } = await ended;
    expect(stderr).toMatch(/^error\[CONTEXT_CHANGED\]: Cannot /m);
    expect(code).toBe(1);
    writeFileSync(data, 'calm');
    expect(await project.run(['-q', '.'])).toMatchObject({ code: 0 });
  });

  it('build ends with an error when the reader of its archive goes away', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const { child, ended } = project.start(['-o', 'type=tar', '.']);
    child.stdout?.once('data', () => child.stdout?.destroy());
    const { code, stderr } = await ended;
    expect(stderr).toMatch(/^error\[EXPORT_FAILED\]: Cannot export to "stdout": its reader has gone/m);
    expect(code).toBe(1);
  });

  it('build writes a tar that tar reads when it goes to stdout', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /bin/\n' });
    const { code, stdout } = await project.run(['-o', '-', '.']);
    expect(code).toBe(0);
    const tar = spawn('tar', ['-tf', '-']);
    tar.stdin.end(stdout);
    let list = '';
    for await (const part of tar.stdout) list += part;
    expect(list).toBe('bin/\nbin/busybox\n');
  });
});

describe('ocibuild and signals', () => {
  const DOCKERFILE = `${SHELL}RUN echo kept\nRUN echo begun; /bin/busybox sleep 300\n`;

  async function startSleeping(): Promise<{ project: Project; started: ReturnType<Project['start']> }> {
    const project = createProject({ Dockerfile: DOCKERFILE });
    const started = project.start(['.']);
    await new Promise<void>((done) => {
      let seen = '';
      started.child.stderr?.on('data', (data: Buffer) => {
        seen += data;
        if (/\d begun/.test(seen)) done();
      });
    });
    return { project, started };
  }

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'build stops cleanly and keeps what was done when %s comes',
    async (signal) => {
      const { project, started } = await startSleeping();
      const begin = Date.now();
      started.child.kill(signal);
      const { code, stderr } = await started.ended;
      expect(code).toBe(130);
      expect(Date.now() - begin).toBeLessThan(8000);
      expect(stderr).toMatch(/#\d+ CANCELED/);
      expect(stderr).toMatch(new RegExp(`^error\\[CANCELLED\\]: Cannot finish[^\\n]*${signal}`, 'm'));
      await expectClean(project);
      const sleeping = readdirSync('/proc').filter((pid) => {
        try {
          return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('sleep\u0000300');
        } catch {
          return false;
        }
      });
      expect(sleeping).toEqual([]);
      project.write({ Dockerfile: `${SHELL}RUN echo kept\n` });
      const next = await project.run(['.']);
      expect(next.stderr).toMatch(/RUN echo kept\n#\d+ CACHED/);
      expect(next.code).toBe(0);
    },
  );

  it('build ends at once when SIGINT comes twice, and the next build cleans up', async () => {
    const { project, started } = await startSleeping();
    started.child.kill('SIGINT');
    started.child.kill('SIGINT');
    expect((await started.ended).code).toBe(130);
    await expectHealthy(project);
  });

  it('build leaves a clean next build when it is killed', async () => {
    const { project, started } = await startSleeping();
    started.child.kill('SIGKILL');
    await started.ended;
    await expectHealthy(project);
  });
});
