import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, createProject, SHELL } from './cli-support.ts';

/** Flags that no other test of the whole command uses: each has to change what happens. */
describe('flags', () => {
  let store: string;

  beforeAll(() => {
    store = mkdtempSync(join(tmpdir(), 'ocibuild-flags-'));
  });

  afterAll(() => rmSync(store, { recursive: true, force: true }));

  function project(files: Readonly<Record<string, string>>) {
    const made = createProject(files);
    const run = (...argv: string[]): Promise<CliResult> => made.run(argv, { store });
    const out = async (...argv: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run(...argv);
      expect([code, stderr]).toEqual([0, expect.anything()]);
      return stdout.toString();
    };
    return { ...made, run, out };
  }

  it('of build reach the steps', async () => {
    const { run } = project({
      Dockerfile: `${SHELL}RUN cat /etc/hosts && ulimit -n && df -k /dev/shm | tail -1\n`,
    });
    const flags = [
      '--add-host',
      'db:10.1.2.3',
      '--ulimit',
      'nofile=321:654',
      '--shm-size',
      '3m',
      '--jobs',
      '1',
    ];
    const { code, stderr } = await run('build', ...flags, '--no-cache', '.');
    expect(code).toBe(0);
    expect(stderr).toMatch(/10\.1\.2\.3\s+db/);
    expect(stderr).toMatch(/ 321\n/);
    expect(stderr).toMatch(/ 3072 /);
  });

  it('of build choose what runs anew, describe and repair', async () => {
    const { run, dir } = project({
      Dockerfile: `${SHELL.replace('scratch', 'scratch AS a')}RUN echo one\nFROM scratch AS b\nCOPY busybox /bin/sh\nCOPY --from=a /bin /a\nRUN echo two\n`,
    });
    await run('build', '.');
    const { stderr } = await run('build', '--no-cache-filter', 'a', '--progress', 'plain', '.');
    expect(stderr).toMatch(/RUN echo one\n#\d+ \d+\.\d+ one/);
    expect(stderr).toMatch(/RUN echo two\n#\d+ CACHED/);
    for (const flag of ['--call', '--print']) {
      const { stdout } = await run('build', `${flag}=targets,format=json`, '.');
      expect(stdout.toString()).toContain('"b"');
    }
    writeFileSync(join(dir, 'Dockerfile'), 'from scratch\nCOPY busybox /\n');
    await run('build', '--check', '--fix', '.');
    expect(readFileSync(join(dir, 'Dockerfile'), 'utf8')).toMatch(/^FROM scratch\n/);
  });

  it('of build that run steps anew change what the next build gives', async () => {
    const { out } = project({
      Dockerfile: `${SHELL.replace('scratch', 'scratch AS s')}RUN cat /proc/sys/kernel/random/uuid > /id\n`,
    });
    const first = await out('build', '-q', '-t', 'anew:a', '.');
    const second = await out('build', '-q', '-t', 'anew:b', '--no-cache', '.');
    expect(second).not.toBe(first);
    expect(await out('build', '-q', '-t', 'anew:a', '.')).toBe(second);
    expect(await out('build', '-q', '-t', 'anew:a', '.')).toBe(second);
    const third = await out('build', '-q', '-t', 'anew:b', '--no-cache-filter', 's', '.');
    expect(await out('build', '-q', '-t', 'anew:a', '.')).toBe(third);
  });

  it('of build that name what is not there end before the first step', async () => {
    const { run } = project({ Dockerfile: `${SHELL}RUN echo ran\n`, file: '' });
    const wrong = [
      ...[
        ['-o', 'type=oci,dest=no/x.tar'],
        ['-o', 'file'],
        ['--iidfile', 'no/i'],
        ['--metadata-file', '/'],
      ],
      ...[
        ['-o', 'out', '--iidfile', 'i'],
        ['--secret', 'id=s,src=no'],
        ['--ssh', 'k=no'],
      ],
      ...[
        ['-o', 'type=docker,context=no'],
        ['--cache-to', 'type=local,dest=file/x'],
      ],
    ];
    for (const flags of wrong) {
      const { code, stderr } = await run('build', '--progress', 'plain', ...flags, '.');
      expect([flags, code, stderr]).toEqual([
        flags,
        expect.toBeOneOf([1, 2, 3]),
        expect.not.stringContaining('RUN'),
      ]);
      expect(stderr).toMatch(/^error\[(?:EXPORT_TARGET|USAGE|SECRET|SSH_KEY|DAEMON_NOT)_/m);
    }
  });

  it('of lock say what is locked', async () => {
    const { run, dir } = project({
      'base.Dockerfile': 'FROM scratch\nCOPY busybox /\n',
      'app.Dockerfile': 'FROM lock-a AS a\nFROM other AS b\nFROM lock-missing AS c\n',
    });
    await run('build', '-t', 'lock-a', '-t', 'lock-b', '-f', 'base.Dockerfile', '.');
    const flags = [
      '--pull=never',
      '--build-context',
      'other=docker-image://lock-b',
      '--platform',
      'linux/amd64',
    ];
    const { code, stderr } = await run('lock', '-f', 'app.Dockerfile', '--target', 'a,b', ...flags, '.');
    expect([code, stderr]).toEqual([0, expect.stringContaining('app.Dockerfile.lock')]);
    const lock = readFileSync(join(dir, 'app.Dockerfile.lock'), 'utf8');
    expect(lock).toContain('lock-a');
    expect(lock).not.toContain('lock-missing');
    const { code: all } = await run('lock', '-f', 'app.Dockerfile', ...flags, '.');
    expect(all).not.toBe(0);
  });

  it('of run reach the container', async () => {
    const { run, out } = project({
      Dockerfile: `${SHELL}RUN ["/bin/busybox", "--install", "-s", "/bin"]\nENTRYPOINT ["/bin/busybox"]\n`,
    });
    await out('build', '-t', 'tools', '.');
    const flags = [
      '--add-host',
      'db:10.1.2.3',
      '--ulimit',
      'nofile=321:654',
      '--shm-size',
      '3m',
      '--net',
      'none',
    ];
    const script =
      'cat /etc/hosts; ulimit -n; df -k /dev/shm | tail -1; grep CapEff /proc/self/status; ls /sys/class/net';
    const plain = await out(
      'run',
      '--rm',
      ...flags,
      '--cpus',
      '0.5',
      '--entrypoint',
      'sh',
      'tools',
      '-c',
      script,
    );
    expect(plain).toMatch(/10\.1\.2\.3\s+db\n/);
    expect(plain).toMatch(/\n321\n.* 3072 /);
    expect(plain).toMatch(/\nlo\n$/);
    const privileged = await out('run', '--rm', '--privileged', '--entrypoint', 'sh', 'tools', '-c', script);
    const caps = (text: string): number => Number.parseInt(/CapEff:\s*(\w+)/.exec(text)?.[1] ?? '0', 16);
    expect(caps(privileged)).toBeGreaterThan(caps(plain));

    const loop = 'trap "echo got usr1; exit 7" USR1; echo ready; while :; do sleep 0.05; done';
    await out(
      'run',
      '-d',
      '--name',
      'sig',
      '--stop-signal',
      'USR1',
      '--entrypoint',
      'sh',
      'tools',
      '-c',
      loop,
    );
    await expect.poll(() => out('logs', 'sig')).toContain('ready');
    expect(await out('ps', '--no-trunc')).toContain('while :; do sleep 0.05; done');
    expect(await out('ps')).not.toContain('while :; do sleep 0.05; done');
    await out('stop', 'sig');
    expect(await out('logs', 'sig')).toContain('got usr1');
    expect(await out('logs', '--since', '1h', 'sig')).toContain('ready');
    expect(await out('logs', '--since', '2999-01-01T00:00:00Z', 'sig')).toBe('');

    const deaf = 'trap "" TERM; echo ready; while :; do sleep 0.05; done';
    await out(
      'run',
      '-d',
      '--name',
      'deaf',
      '--stop-timeout',
      '0',
      '--entrypoint',
      'sh',
      'tools',
      '-c',
      deaf,
    );
    const started = performance.now();
    await out('stop', 'deaf');
    expect(performance.now() - started).toBeLessThan(8000);
    await out('rm', 'sig', 'deaf');
    // Of a memory of its own nothing is told by plain text: the whole instruction is.
    expect(await out('history', '--no-trunc', 'tools')).toContain('/bin/busybox --install -s /bin');
    expect((await run('history', 'tools')).code).toBe(0);
  });

  it('of du, prune and cache say more, or choose what goes', async () => {
    const { out } = project({
      Dockerfile: `${SHELL}RUN --mount=type=cache,id=a-long-name-of-a-cache-mount,target=/c echo x >/c/f\nRUN echo y >/y\n`,
    });
    await out('build', '-t', 'kept', '.');
    expect((await out('du', '--verbose')).length).toBeGreaterThan((await out('du')).length);
    expect(await out('cache', 'ls', '--no-trunc')).toContain('a-long-name-of-a-cache-mount');
    const count = async (...flags: string[]): Promise<number> => {
      const text = await out('prune', '--all', '--force', '--dry-run', '--format', 'json', ...flags);
      const { removed } = JSON.parse(text) as { removed: unknown[] };
      return removed.length;
    };
    const all = await count();
    expect(all).toBeGreaterThan(0);
    expect(await count('--keep-duration', '1h')).toBe(0);
    expect(await count('--max-used-space', '100gb')).toBe(0);
    expect(await count('--max-used-space', '1')).toBeGreaterThan(0);
    expect(await count('--max-used-space', '1', '--reserved-space', '100gb')).toBe(0);
    expect(await count('--max-used-space', '1', '--keep-storage', '100gb')).toBe(0);
    expect(await count('--min-free-space', '1')).toBe(0);
    expect((await out('prune', '--force', '--dry-run', '--verbose')).length).toBeGreaterThan(0);
  });
});
