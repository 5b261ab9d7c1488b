import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createProject, SHELL } from './cli-support.ts';

const BASE = `# escape=\`
ARG V=own
${SHELL.replace('FROM scratch', 'FROM scratch AS shell')}
FROM shell AS build
ARG V
RUN echo $V > /v && \`
  echo two lines >> /v
FROM build AS last
COPY data.txt /data
ONBUILD RUN echo fired > /fired
`;

const TOOLS = `# syntax=ocibuild
FROM file:../base.Dockerfile#build AS tool
RUN cat /v /v > /tool
`;

const MAIN = `# syntax=ocibuild
ARG V=main
FROM file:./docker/base.Dockerfile
RUN cat /data > /copy
COPY --from=file:docker/more/tools /tool /v /got/
`;

function project(dockerfile = MAIN) {
  return createProject({
    Dockerfile: dockerfile,
    'data.txt': 'of the context\n',
    'docker/base.Dockerfile': BASE,
    'docker/more/tools': TOOLS,
    // Dockerfiles are read whatever the ignore file hides from COPY.
    '.dockerignore': 'docker\n',
  });
}

describe('FROM file:', () => {
  it('builds stages of other files with the context and arguments of the build', async () => {
    const { run, dir } = project();
    const built = await run(['--build-arg', 'V=given', '--progress', 'plain', '-o', 'out', '.']);
    expect(built).toMatchObject({ code: 0 });
    const read = (path: string) => readFileSync(join(dir, 'out', path), 'utf8');
    expect([read('v'), read('copy'), read('fired')]).toEqual([
      'given\ntwo lines\n',
      'of the context\n',
      'fired\n',
    ]);
    expect(read('got/tool')).toBe('given\ntwo lines\ngiven\ntwo lines\n');
    expect(built.stderr).toContain('[docker/base.Dockerfile#build 1/1] RUN');
    expect(built.stderr).toContain('[docker/more/tools#tool 1/1] RUN cat');
  });

  it('is built again when a file changes that is named by a named file', async () => {
    const { run, write } = project();
    const build = () => run(['-t', 'x', '--progress', 'plain', '.']);
    await build();
    await sleep(1100);
    await build();
    const cached = await build();
    // One each of shell, build, last and tool; the trigger, RUN and COPY of the Dockerfile itself.
    expect(cached.stderr.match(/ CACHED$/gm)).toHaveLength(7);
    write({ 'docker/base.Dockerfile': BASE.replace('two lines', 'three lines') });
    const changed = await build();
    expect(changed.code).toBe(0);
    expect(changed.stderr).toMatch(/base\.Dockerfile#build 1\/1\] RUN .*three lines/);
  });

  it('shows the excerpt of the file that is at fault', async () => {
    const { run, write } = project();
    write({ 'docker/base.Dockerfile': BASE.replace('echo $V > /v', 'exit 3') });
    const failed = await run(['-t', 'x', '--progress', 'plain', '.']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/docker\/base\.Dockerfile:9:1 {2}\(stage docker\/base\.Dockerfile#build/);
    expect(failed.stderr).toMatch(/^> ?9 \| RUN exit 3/m);

    write({ Dockerfile: '# syntax=ocibuild\nFROM file:docker/base.Dockerfile#bulid\n' });
    const missing = await run(['-t', 'x', '.']);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toMatch(/it has "shell", "build", "last"[\s\S]*hint: did you mean "build"\?/);

    write({ Dockerfile: '# syntax=ocibuild\nFROM file:../../../../etc/passwd\n' });
    const outside = await run(['-t', 'x', '.']);
    expect(outside.code).toBe(2);
    expect(outside.stderr).toContain('lies neither in the context nor in the directory of the Dockerfile');
  });
});
