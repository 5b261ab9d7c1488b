import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runInTerminal, type TerminalRun } from '../support/terminal-run.ts';
import { createProject, type Project } from './cli-support.ts';

const CLI = resolve(import.meta.dirname, '../../dist/cli.js');
const SHELL = 'FROM scratch AS app\nCOPY busybox /bin/sh\nCOPY busybox /bin/sleep\n';

function build(project: Project): TerminalRun {
  const { CI: _, NO_COLOR: __, ...env } = process.env;
  const words = ['--root', project.store, 'build', '-t', 'app:v1', '.'];
  const run = runInTerminal([process.execPath, '--disable-warning=ExperimentalWarning', CLI, ...words], {
    ...{ columns: 80, rows: 24, cwd: project.dir },
    env: { ...env, TERM: 'xterm-256color' },
  });
  onTestFinished(() => {
    run.child.kill('SIGKILL');
    run.hangUp();
  });
  return run;
}

describe('ocibuild build on a terminal', () => {
  it('draws while it runs, follows the size, and leaves a summary', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}COPY . /src\nRUN --mount=type=cache,target=/c echo first; until [ -e /c/go ]; do sleep 0.1; done; echo second\n`,
      'a.txt': 'a',
    });
    const run = build(project);
    const live = await run.seen(/│ first/);
    expect(live).toMatch(/^\[\+\] Building \d+\.\ds \(\d+\/\d+\)\n/);
    expect(live).toMatch(/▸ 4\/4 RUN --mount.* +\d\.\ds\n/);
    expect(run.screen.cursor().isVisible).toBe(false);
    run.resize(30, 10);
    const narrow = await run.seen(/▸ 4\/4 RUN --m[^\n]{0,14}… \d\.\ds/);
    expect(narrow.match(/Building/g)).toHaveLength(1);
    run.resize(90, 24);
    const mounts = join(project.store, 'mounts');
    for (const name of readdirSync(mounts)) writeFileSync(join(mounts, name, 'go'), '');
    expect(await run.ended).toBe(0);
    const end = await run.seen(/longest/);
    expect(end).toMatch(/\[\+\] Built \d+\.\ds \((\d+)\/\1\)\n/);
    expect(end).toMatch(/✓ 4\/4 RUN --mount[^\n]* \d\.\ds\n/);
    expect(end).toMatch(
      /docker\.io\/library\/app:v1\n {4}digest {3}sha256:[0-9a-f]{64}\n {4}size {5}[\d.]+MB in 4 layers: 4 new/,
    );
    expect(end).toMatch(/ {4}longest {2}4\/4 RUN --mount/);
    expect(run.screen.cursor().isVisible).toBe(true);

    const again = build(project);
    expect(await again.ended).toBe(0);
    expect(await again.seen(/cached {3}/)).toMatch(
      /= 4 steps cached\n[\s\S]*4 layers: all reused\n {4}cached {3}4 of 4 steps$/,
    );
  });

  it('leaves the last state and the error when a step fails', async () => {
    const run = build(createProject({ Dockerfile: `${SHELL}RUN echo reason; exit 3\n` }));
    expect(await run.ended).toBe(1);
    const end = await run.seen(/error\[RUN_EXIT_NONZERO\]/);
    expect(end).toMatch(
      /\[\+\] Failed [^\n]*\n[\s\S]*✗ 3\/3 RUN echo reason[^\n]*failed \d\.\ds\n[\s\S]*error\[RUN_EXIT_NONZERO\]/,
    );
    expect(end).not.toContain('Building');
    expect(run.screen.cursor().isVisible).toBe(true);
  });

  it('is stopped and goes on with Ctrl-Z, and is cancelled with Ctrl-C', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo begun; sleep 300\n` });
    const run = build(project);
    await run.seen(/│ begun/);
    const pid = run.child.pid ?? 0;
    run.type('\u001a');
    await run.seen(/^(?:\^Z)?$/);
    expect(run.screen.cursor().isVisible).toBe(true);
    for (let i = 0; i < 1000 && stateOf(pid) !== 'T'; i++) await delay(20);
    expect(stateOf(pid)).toBe('T');
    process.kill(pid, 'SIGCONT');
    await run.seen(/│ begun/);
    run.type('\u0003');
    expect(await run.ended).toBe(130);
    const end = await run.seen(/error\[CANCELLED\]/);
    expect(end).toMatch(/\[\+\] Cancelled [^\n]*\n[\s\S]*- 3\/3 RUN echo begun[^\n]* cancelled\n/);
    expect(end).not.toContain('Building');
    expect(run.screen.cursor().isVisible).toBe(true);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('ends, and its steps with it, when the terminal is closed', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN echo begun; sleep 301\n` });
    const run = build(project);
    await run.seen(/│ begun/);
    run.hangUp();
    expect(await run.ended).toBe(130);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });
});

function stateOf(pid: number): string | undefined {
  return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
}
