import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkedLayout } from '../support/images.ts';
import { type CliResult, createProject, SHELL } from './cli-support.ts';

interface Vertex {
  readonly name: string;
  readonly started?: string;
  readonly completed?: string;
  readonly cached?: boolean;
}

/** Names of the RUN steps that a process ran itself. */
function stepsRun({ stderr }: CliResult): string[] {
  const vertexes = stderr
    .trimEnd()
    .split('\n')
    .flatMap((line) => (JSON.parse(line) as { vertexes?: Vertex[] }).vertexes ?? []);
  const ended = vertexes.filter(({ name, completed }) => name.includes('RUN') && completed !== undefined);
  return ended.filter(({ cached }) => cached !== true).map(({ name }) => name);
}

describe('two builds of one store', () => {
  it('run each step once when they start together', async () => {
    const project = createProject({
      Dockerfile: `${SHELL.replace('scratch', 'scratch AS shell')}
RUN /bin/busybox sleep 0.4; echo a >/a
FROM shell AS side
RUN /bin/busybox sleep 0.4; echo b >/b
FROM shell
COPY --from=side /b /b
RUN /bin/busybox sleep 0.2; echo c >/c
`,
    });
    const flags = ['--progress', 'rawjson', '-o', 'type=store', '.'];
    const results = await Promise.all(['x', 'y', 'x'].map((tag) => project.run(['-t', tag, ...flags])));
    for (const result of results) expect(result.code, result.stderr).toBe(0);
    expect(results.flatMap(stepsRun).toSorted()).toEqual([
      '[shell 2/2] RUN /bin/busybox sleep 0.4; echo a >/a',
      '[side 1/1] RUN /bin/busybox sleep 0.4; echo b >/b',
      '[stage-2 2/2] RUN /bin/busybox sleep 0.2; echo c >/c',
    ]);
    const kept = readdirSync(join(project.store, 'snapshots')).filter((name) => name.startsWith('run-'));
    expect(kept).toHaveLength(3);
    const [x, y] = [
      await checkedLayout(project.store, 'x:latest'),
      await checkedLayout(project.store, 'y:latest'),
    ];
    expect(x.manifestDigest).toBe(y.manifestDigest);
    expect(['/a', '/b', '/c'].map((path) => x.files.get(path)?.text)).toEqual(['a\n', 'b\n', 'c\n']);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('let the second run the step when the first is killed in it', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}RUN echo begun; /bin/busybox sleep 1; echo a >/a\n`,
    });
    const first = project.start(['-t', 'x', '--progress', 'plain', '.']);
    await new Promise<void>((done) => {
      first.child.stderr?.on('data', (data: Buffer) => {
        if (/ begun/.test(data.toString())) done();
      });
    });
    const second = project.start(['-t', 'y', '--progress', 'plain', '.']);
    setTimeout(() => first.child.kill('SIGKILL'), 400);
    const { code, stderr } = await second.ended;
    expect(stderr).toMatch(/\d begun/);
    expect(code).toBe(0);
    expect((await checkedLayout(project.store, 'y:latest')).files.get('/a')?.text).toBe('a\n');
  });
});
