import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type CliResult, createProject, type Project } from './cli-support.ts';

interface Watched {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
  /** All that was said so far, stdout and stderr. */
  text(): string;
  /** Resolves when the text after an earlier call matches; gives it. */
  says(pattern: RegExp): Promise<string>;
  /** Resolves when nothing is said any more. */
  quiet(): Promise<void>;
  stop(): Promise<CliResult>;
}

const PATIENCE_MS = 60_000;
/** Of a process whose output is not kept. */
const NO_RESULT: CliResult = { code: null, stdout: Buffer.alloc(0), stderr: '' };

/** A command that stays; ended with the test whatever happens. */
function startWatch(project: Project, args: readonly string[]): Watched {
  return follow(project.start(args));
}

function follow({ child, ended }: ReturnType<Project['start']>): Watched {
  onTestFinished(() => void child.kill('SIGKILL'));
  let text = '';
  let seen = 0;
  const wake = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data: Buffer) => {
      text += data.toString();
      for (const look of wake) look();
    });
  }
  return {
    child,
    ended,
    text: () => text,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`Cannot see ${pattern} in:\n${text.slice(seen)}`)),
          PATIENCE_MS,
        );
        const look = (): void => {
          const found = pattern.exec(text.slice(seen));
          if (found === null) return;
          clearTimeout(timer);
          wake.delete(look);
          const part = text.slice(seen, seen + found.index + found[0].length);
          seen += found.index + found[0].length;
          resolve(part);
        };
        wake.add(look);
        look();
      }),
    async quiet() {
      for (let before = -1; before !== text.length; ) {
        before = text.length;
        await sleep(1200);
      }
    },
    async stop() {
      child.kill('SIGINT');
      return ended;
    },
  };
}

/** Digest in the store of a name. */
async function digestOf(project: Project, name: string): Promise<string | undefined> {
  const index = JSON.parse(readFileSync(join(project.store, 'index.json'), 'utf8')) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  return index.manifests.find(
    ({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === name,
  )?.digest;
}

const WAITING = /waiting for changes[^\n]*\n/;

/** Numbers that look random and are the same in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('build --watch', () => {
  it('says what changed and what ran when a file is saved', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch\nCOPY lib /lib\nCOPY src /src\n',
      'lib/a': '1',
      'src/a': '1',
      other: '1',
    });
    const watched = startWatch(project, ['build', '--watch', '-t', 'app:dev', '.']);
    await watched.says(WAITING);
    const first = await digestOf(project, 'app:dev');
    project.write({ other: '2' });
    project.write({ 'src/a': '2' });
    const said = await watched.says(WAITING);
    expect(said).toContain('src/a changed\n');
    expect(said).not.toContain('other');
    expect(said).toMatch(/in \d\.\d\d s: ran \[2\/2\] COPY src \/src; 1 of 2 cached/);
    expect(await digestOf(project, 'app:dev')).not.toBe(first);
    const { code, stderr } = await watched.stop();
    expect(code).toBe(130);
    expect(stderr).toMatch(/\[watch\] [\d:]+ ended\n$/);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('keeps the last good image when a build fails, and goes on when it is put right', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: '1' });
    const watched = startWatch(project, ['build', '--watch', '-t', 'app:dev', '.']);
    await watched.says(WAITING);
    const good = await digestOf(project, 'app:dev');
    project.write({ Dockerfile: 'FROM scratch\nCOPI' });
    expect(await watched.says(WAITING)).toMatch(
      /Cannot understand instruction[\s\S]*the last good image stays/,
    );
    rmSync(join(project.dir, 'Dockerfile'));
    expect(await watched.says(WAITING)).toContain('DOCKERFILE_NOT_FOUND');
    expect(await digestOf(project, 'app:dev')).toBe(good);
    project.write({ Dockerfile: 'FROM scratch\nCOPY a /b\n' });
    await watched.says(WAITING);
    expect(await digestOf(project, 'app:dev')).not.toBe(good);
    renameSync(project.dir, `${project.dir}.away`);
    expect(await watched.says(WAITING)).toContain('CONTEXT_NOT_FOUND');
    renameSync(`${project.dir}.away`, project.dir);
    expect(await watched.says(WAITING)).toContain('every step was cached');
    await watched.stop();
  });

  it('goes by the config file as it is saved, below the flags, and by its last good state', async () => {
    const config = (body: string): Record<string, string> => ({
      'ocibuild.config.ts': `import { name } from './name.ts';\nexport default { defaults: { ${body} } };\n`,
    });
    const project = createProject({
      Dockerfile: 'FROM scratch\nARG A\nARG B\nCOPY a /$A-$B\n',
      a: '1',
      'name.ts': "export const name = 'app:one';\n",
      ...config("tags: name, buildArgs: { A: 'x', B: 'y' }"),
    });
    const watched = startWatch(project, ['build', '--watch', '--build-arg', 'A=flag', '.']);
    expect(await watched.says(WAITING)).toContain('COPY a /flag-y');
    project.write({
      'name.ts': "export const name = 'app:two';\n",
      ...config("tags: name, buildArgs: { A: 'x', B: 'z' }"),
    });
    expect(await watched.says(WAITING)).toMatch(/ocibuild\.config\.ts changed\n[\s\S]*COPY a \/flag-z/);
    const good = await digestOf(project, 'app:two');
    expect(good).toMatch(/^sha256:/);
    project.write(config("tag: 'three'"));
    expect(await watched.says(/what it said before goes on\n/)).toContain('CONFIG_INVALID');
    project.write({ a: '2' });
    expect(await watched.says(WAITING)).toContain('ran [1/1] COPY a /flag-z;');
    expect(await digestOf(project, 'app:two')).not.toBe(good);
    await watched.stop();
  });

  it('gives up a build when what it reads changes meanwhile', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch\nCOPY busybox /bin/sh\nCOPY a /a\nRUN sleep 60\n',
      a: '1',
    });
    const watched = startWatch(project, ['build', '--watch', '--network', 'none', '-t', 'app:dev', '.']);
    await watched.says(/RUN sleep 60/);
    project.write({ Dockerfile: 'FROM scratch\nCOPY busybox /bin/sh\nCOPY a /a\nRUN sleep 0\n' });
    const said = await watched.says(WAITING);
    expect(said).toContain('Dockerfile changed: the build starts anew');
    expect(said).toContain('RUN sleep 0');
    await watched.stop();
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('ends with its terminal, and at rest when nobody reads its output', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: '1' });
    const hungUp = startWatch(project, ['build', '--watch', '.']);
    const unread = startWatch(project, ['build', '--watch', '.']);
    await Promise.all([hungUp.says(WAITING), unread.says(WAITING)]);
    hungUp.child.kill('SIGHUP');
    unread.child.stdout?.destroy();
    unread.child.stderr?.destroy();
    expect((await hungUp.ended).code).toBe(130);
    expect((await unread.ended).code).toBe(130);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('asks a server only again when the Dockerfile is edited', async () => {
    let asked = 0;
    const server = createServer((_, response) => {
      asked++;
      response.end('content');
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const dockerfile = `FROM scratch\nADD http://127.0.0.1:${port}/file /\nCOPY a /\n`;
    const project = createProject({ Dockerfile: dockerfile, a: '1' });
    const watched = startWatch(project, ['build', '--watch', '.']);
    await watched.says(WAITING);
    project.write({ a: '2' });
    expect(await watched.says(WAITING)).toContain('ran [2/2] COPY a /;');
    expect(asked).toBe(1);
    project.write({ Dockerfile: `${dockerfile}\n` });
    await watched.says(WAITING);
    expect(asked).toBe(2);
    await watched.stop();
  });

  it('goes on with the directory that a link leads to by then', async () => {
    const project = createProject({
      'one/Dockerfile': 'FROM scratch\nCOPY a /a\n',
      'one/a': '1',
      'two/Dockerfile': 'FROM scratch\nCOPY a /a\n',
      'two/a': '2',
    });
    symlinkSync('one', join(project.dir, 'now'));
    const watched = startWatch(project, ['build', '--watch', 'now']);
    await watched.says(WAITING);
    symlinkSync('two', join(project.dir, 'next'));
    renameSync(join(project.dir, 'next'), join(project.dir, 'now'));
    expect(await watched.says(WAITING)).toContain('now changed\n');
    project.write({ 'two/a': '3' });
    // A second event of the link may still come, and stand for what is behind it.
    expect(await watched.says(WAITING)).toMatch(/now(\/a)? changed\n[\s\S]*: ran \[1\/1\] COPY a/);
    await watched.stop();
  });

  it('looks for changes every now and then when the system gives too few watches', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch\nCOPY src /src\n',
      'src/a': '1',
      'src/b/c': '1',
    });
    // The limit of a user namespace counts for those in it only.
    const limit = 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"';
    const cli = [process.execPath, join(import.meta.dirname, '../../dist/cli.js'), '--root', project.store];
    const words = ['-r', 'sh', '-c', limit, 'sh', ...cli, 'watch', '-t', 'app:dev', '.'];
    const child = spawn('unshare', words, { cwd: project.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    const watched = follow({ child, ended: once(child, 'exit').then(() => NO_RESULT) });
    expect(await watched.says(/looked at every 1 s[^\n]*\n[^\n]*\n/)).toContain(
      'fs.inotify.max_user_watches',
    );
    const before = await digestOf(project, 'app:dev');
    project.write({ 'src/b/c': '2' });
    await watched.says(/src\/b\/c changed[\s\S]*waiting for changes[^\n]*\n/);
    expect(await digestOf(project, 'app:dev')).not.toBe(before);
    await watched.stop();
  });

  it('fails at once when there is no such directory', async () => {
    const project = createProject({});
    const { code, stderr } = await project.run(['build', '--watch', 'missing']);
    expect(code).toBe(2);
    expect(stderr).toContain('CONTEXT_NOT_FOUND');
  });

  it('ends with the image of a cold build when 200 edits have been made while it built', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch AS base\nCOPY lib /lib\nFROM base\nCOPY . /app\n',
      '.dockerignore': 'ignored\n*.tmp\n',
      'lib/a': '1',
    });
    rmSync(join(project.dir, 'busybox'));
    const epoch = ['--build-arg', 'SOURCE_DATE_EPOCH=1700000000'];
    const watched = startWatch(project, ['build', '--watch', ...epoch, '-t', 'app:dev', '.']);
    await watched.says(WAITING);
    await storm(project.dir);
    const coldStore = join(dirname(project.store), 'cold');
    const cold = await project.run(['build', ...epoch, '-t', 'app:dev', '.'], { store: coldStore });
    expect(cold.code).toBe(0);
    const expected = await digestOf({ ...project, store: coldStore }, 'app:dev');
    await expect.poll(() => digestOf(project, 'app:dev'), { timeout: PATIENCE_MS }).toBe(expected);
    // And so it stays.
    await watched.quiet();
    expect(await digestOf(project, 'app:dev')).toBe(expected);
    await watched.stop();
  });
});

describe('run --watch', () => {
  /** Says what it has when it starts, and what changes of it later. */
  const PROGRAM = [
    '#!/bin/sh',
    'trap "echo stopped; exit 0" TERM',
    'show() { for file in /src/*; do [ -f $file ] && echo "$file=$(cat $file)"; done; }',
    'old=$(show); echo "started $old" | tr "\\n" " "; echo',
    'while sleep 0.05; do new=$(show); [ "$new" = "$old" ] || echo "now $new" | tr "\\n" " "; old=$new; done',
    '',
  ].join('\n');
  const FILES = {
    Dockerfile: [
      'FROM scratch',
      'COPY busybox /bin/busybox',
      'COPY busybox /bin/sh',
      'COPY --chmod=755 main /main',
      'COPY src /src',
      'ENV PATH=/bin',
      'RUN /bin/busybox --install -s /bin',
      'CMD ["/main"]',
      '',
    ].join('\n'),
    '.dockerignore': 'src/ignored\n',
    main: PROGRAM,
    'src/a': '1',
  };

  it('runs the new image in place of the old one after each good build', async () => {
    const project = createProject(FILES);
    const watched = startWatch(project, ['run', '--watch', '--network', 'none', '.']);
    const [, name] = /starting (\S+)/.exec(await watched.says(/started \/src\/a=1/)) ?? [];
    project.write({ 'src/a': '2' });
    const replaced = await watched.says(/started \/src\/a=2/);
    expect(replaced).toContain(`stopping ${name}\n`);
    expect(replaced).toContain(`starting ${name}\n`);
    project.write({ Dockerfile: `# Nothing else\n${FILES.Dockerfile}` });
    expect(await watched.says(/the image is the same: \S+ goes on/)).toContain(`: ${name} goes on`);
    project.write({ Dockerfile: 'FROM nowhere:5000/' });
    await watched.says(/the last good image stays/);
    project.write({ Dockerfile: FILES.Dockerfile, main: '#!/bin/sh\nexit 7\n' });
    await watched.says(/the program ended with code 7/);
    const { code } = await watched.stop();
    expect(code).toBe(130);
    expect((await project.run(['ps', '-a', '-q'])).stdout.toString()).toBe('');
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('only copies what a rule covers, and starts the program again where it says so', async () => {
    const project = createProject({ ...FILES, 'src/sub/x': 'x', 'src/ignored/y': 'y' });
    const args = ['--sync', 'src:/src', '--sync-restart', 'src/conf:/src/conf', '--rebuild', 'src/package'];
    const watched = startWatch(project, ['run', '--watch', '--network', 'none', ...args, '.']);
    await watched.says(/started \/src\/a=1/);
    project.write({ 'src/a': '2', 'src/ignored/y': 'z' });
    expect(await watched.says(/now \/src\/a=2/)).toMatch(/src\/a changed: 1 updated in the container\n/);
    renameSync(join(project.dir, 'src/a'), join(project.dir, 'src/b'));
    expect(await watched.says(/now \/src\/b=2/)).not.toContain('COPY');
    project.write({ 'src/conf': 'c' });
    const again = await watched.says(/started \/src\/b=2 \/src\/conf=c/);
    expect(again).toContain('started again');
    expect(again).not.toContain('COPY');
    project.write({ 'src/package': 'p' });
    expect(await watched.says(/started \/src\/b=2[^\n]*package=p/)).toContain('COPY src /src');
    const inside = await project.run(['ps', '-q']);
    const id = inside.stdout.toString().trim();
    const listed = await project.run(['exec', id, 'ls', '/src']);
    expect(listed.stdout.toString()).toBe('b\nconf\npackage\nsub\n');
    await watched.stop();
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });
});

/** 200 edits of every kind, some of them faster than a build. */
async function storm(dir: string): Promise<void> {
  const random = generator(42);
  const at = (path: string): string => join(dir, path);
  const entries = (kind: 'file' | 'dir'): string[] =>
    (readdirSync(dir, { recursive: true }) as string[])
      .filter((path) => path !== 'Dockerfile' && path !== '.dockerignore' && !path.startsWith('lib'))
      .filter((path) => statSync(at(path)).isDirectory() === (kind === 'dir'))
      .sort();
  const pick = (from: readonly string[]): string | undefined => from[random(from.length)];
  for (let edit = 0; edit < 200; edit++) {
    const folder = random(3) === 0 ? `d${random(5)}` : `d${random(5)}/e${random(3)}`;
    const [file, moved] = [pick(entries('file')), pick(entries('dir'))];
    const kind = random(12);
    if (kind < 4) {
      mkdirSync(at(folder), { recursive: true });
      writeFileSync(at(`${folder}/f${random(20)}`), `new ${edit} ${'x'.repeat(random(5000))}`);
    } else if (kind === 4 && file !== undefined) writeFileSync(at(file), `changed ${edit}`);
    else if (kind === 5 && file !== undefined) {
      // As editors save.
      writeFileSync(at(`${file}.tmp`), `replaced ${edit}`);
      renameSync(at(`${file}.tmp`), at(file));
    } else if (kind === 6 && file !== undefined) rmSync(at(file));
    else if (kind === 7 && moved !== undefined) renameSync(at(moved), at(`moved-${edit}`));
    else if (kind === 8 && moved !== undefined && random(3) === 0) rmSync(at(moved), { recursive: true });
    else if (kind === 9) {
      writeFileSync(
        at('Dockerfile'),
        `FROM scratch AS base\nCOPY lib /lib${random(3)}\nFROM base\nCOPY . /app${random(3)}\n`,
      );
    } else if (kind === 10) writeFileSync(at('Dockerfile'), 'FROM scratch\nCOP');
    else writeFileSync(at(`lib/l${random(4)}`), `lib ${edit}`);
    if (random(4) === 0) await sleep(random(60));
  }
  writeFileSync(at('Dockerfile'), 'FROM scratch AS base\nCOPY lib /lib\nFROM base\nCOPY . /app\n');
}
