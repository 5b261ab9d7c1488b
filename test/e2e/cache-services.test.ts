import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GhaServer, startGhaServer } from '../support/gha-server.ts';
import { BUCKET, type S3Server, startS3Server } from '../support/s3-server.ts';
import { createProject, type Project } from './cli-support.ts';

const DOCKERFILE = `FROM scratch AS build
COPY busybox /bin/sh
RUN echo built >/out && echo big >/big
FROM scratch
COPY --from=build /out /
`;

let work: string;
let s3: S3Server;
let gha: GhaServer;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'ocibuild-services-'));
  s3 = await startS3Server(work);
  gha = await startGhaServer();
});
afterAll(async () => {
  await s3[Symbol.asyncDispose]();
  await gha[Symbol.asyncDispose]();
  rmSync(work, { recursive: true });
});

async function build(
  project: Project,
  store: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
) {
  const { code, stdout, stderr } = await project.run(['--progress', 'plain', '-t', 'app', ...args, '.'], {
    store: join(project.store, store),
    env,
  });
  expect(code, stderr).toBe(0);
  return { stdout: stdout.toString(), stderr };
}

function archive(dir: string): string {
  return `type=docker,dest=${join(dir, 'image.tar')}`;
}

describe('ocibuild build', () => {
  it.each([
    ['s3', () => `type=s3,bucket=${BUCKET},endpoint_url=${s3.url},use_path_style=true`, () => s3.env],
    ['gha', () => 'type=gha,scope=app', () => gha.env(2)],
  ])('runs no step on a second store when they share a cache in %s', async (_, cacheOf, envOf) => {
    const project = createProject({ Dockerfile: DOCKERFILE });
    const [cache, env] = [cacheOf(), envOf()];
    const ids = ['a', 'b'].map((name) => join(work, name));
    const [first, second] = [
      await build(project, 'a', ['--cache-to', `${cache},mode=max`, '--iidfile', ids[0] ?? ''], env),
      // The archive needs the bytes of the layer, which only the cache has.
      await build(
        project,
        'b',
        ['--cache-from', cache, '--iidfile', ids[1] ?? '', '-o', archive(work), '-o', 'type=store'],
        env,
      ),
    ];

    expect(first.stderr).toMatch(/exporting (?:cache )?to (?:Amazon S3|GitHub Actions Cache)/);
    expect(first.stderr).not.toMatch(/CACHED/);
    expect(second.stderr.match(/CACHED/g)?.length).toBeGreaterThanOrEqual(2);
    expect(second.stderr).not.toMatch(/RUN[^\n]*\n#\d+ DONE/);
    expect(readFileSync(ids[1] ?? '', 'utf8')).toBe(readFileSync(ids[0] ?? '', 'utf8'));
    expect(statSync(join(work, 'image.tar')).size).toBeGreaterThan(1000);
  });

  it('builds all the same when the cache cannot be read, and says what is missing', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const { stderr } = await build(project, 'a', ['--cache-from', 'type=gha'], {});
    expect(stderr).toContain('ACTIONS_RESULTS_URL is not set');

    const refused = await project.run(['-t', 'app', '--cache-to', 'type=gha', '.'], {
      store: join(project.store, 'c'),
    });
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/error\[CACHE_AUTH_FAILED\].*ACTIONS_RESULTS_URL is not set/);
  });
});
