import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { git, startGitServer } from '../support/git-server.ts';
import { startWebServer } from '../support/web-server.ts';
import { createProject } from './cli-support.ts';

const LOCAL = ['--progress', 'plain'];

describe('ocibuild build', () => {
  test('asks the server each time when a Dockerfile adds a URL, and nobody when a checksum pins it', async () => {
    const project = createProject({ 'served.txt': 'served\n' });
    await using server = await startWebServer(project.dir);
    const url = `${server.url}/served.txt`;
    project.write({ Dockerfile: `FROM scratch\nADD ${url} /\n`, '.dockerignore': '*' });
    for (const statuses of [[200], [304], [304]]) {
      server.seen.length = 0;
      expect(await project.run(['-t', 'app', '.'])).toMatchObject({ code: 0 });
      expect(server.seen.map(({ status }) => status)).toEqual(statuses);
    }
    server.seen.length = 0;
    const sum = createHash('sha256').update('served\n').digest('hex');
    project.write({ Dockerfile: `FROM scratch\nADD --checksum=sha256:${sum} ${url} /\n` });
    for (const _ of [1, 2]) expect(await project.run(['-t', 'app', '.'])).toMatchObject({ code: 0 });
    expect(server.seen).toEqual([]);
  });

  test('builds from a URL of a git repository, and again when a commit was added', async () => {
    const project = createProject({});
    const work = join(project.dir, 'app.git');
    project.write({ 'app.git/Dockerfile': 'FROM scratch\nCOPY a.txt /\n', 'app.git/a.txt': 'one' });
    git(work, 'init', '-q', '.');
    git(work, 'add', '-A');
    git(work, 'commit', '-q', '-m', 'one');
    await using server = await startGitServer(project.dir);
    const out = join(project.dir, 'out');
    const args = ['-o', `type=local,dest=${out}`, `${server.url}/app.git`];
    expect(await project.run(args)).toMatchObject({ code: 0 });
    expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('one');
    writeFileSync(join(work, 'a.txt'), 'two');
    git(work, 'commit', '-q', '-a', '-m', 'two');
    expect(await project.run(args)).toMatchObject({ code: 0 });
    expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('two');
  });

  test.each([
    ['FROM scratch\nCOPY none /\n', [], 1, 'COPY_SOURCE_MISSING'],
    ['FROM scratch\n', ['-f', 'Other'], 2, 'USAGE_INVALID'],
    ['', [], 2, 'DOCKERFILE_EMPTY'],
  ])(
    'reads a Dockerfile from stdin and fails as told when it is %j with %j',
    async (input, flags, code, name) => {
      const result = await createProject({}).run([...LOCAL, ...flags, '-'], { input });
      expect(result.code).toBe(code);
      expect(result.stderr).toContain(`error[${name}]`);
    },
  );

  test('builds what is on stdin with an empty context when it is a Dockerfile', async () => {
    const project = createProject({ 'a.txt': 'not for the build' });
    const out = join(project.dir, 'out');
    const input = 'FROM scratch\nWORKDIR /made\nCOPY . /all/\n';
    expect(await project.run(['-o', out, '-'], { input })).toMatchObject({ code: 0 });
    expect([readdirSync(out).sort(), readdirSync(join(out, 'all'))]).toEqual([['all', 'made'], []]);
  });

  test('ends with 4 when a server has no such file, and shows where', async () => {
    const project = createProject({});
    await using server = await startWebServer(project.dir);
    project.write({ Dockerfile: `FROM scratch\nADD ${server.url}/none /\n` });
    const { code, stderr } = await project.run(['.']);
    expect(code).toBe(4);
    expect(stderr).toContain('error[DOWNLOAD_FAILED]');
    expect(stderr).toContain('Dockerfile:2:1');
  });

  test('downloads anew when an earlier build was killed in the middle', async () => {
    const project = createProject({ 'served.txt': 'served\n' });
    let slow = true;
    await using server = await startWebServer(project.dir, (_, response) => {
      if (!slow) return false;
      response.writeHead(200, { 'content-length': 100 }).write('part');
      return true;
    });
    project.write({ Dockerfile: `FROM scratch\nADD ${server.url}/served.txt /\n`, '.dockerignore': '*' });
    const { child, ended } = project.start(['.']);
    const tmp = join(project.store, 'tmp');
    while (!existsSync(tmp) || readdirSync(tmp).length === 0) await sleep(20);
    child.kill('SIGKILL');
    await ended;
    slow = false;
    expect(await project.run(['.'])).toMatchObject({ code: 0 });
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });
});
