import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeShellImage } from '../support/base-image.ts';
import { type CountingProxy, startCountingProxy } from '../support/counting-proxy.ts';
import { checkedLayout } from '../support/images.ts';
import { foreignTar, type Member } from '../support/layers.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { createProject, type Project } from './cli-support.ts';

const work = mkdtempSync(join(tmpdir(), 'ocibuild-base-'));
let registry: TestRegistry;
let proxy: CountingProxy;
/** Hex digests of the layers of the base image, base first. */
let layers: readonly string[] = [];

beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startCountingProxy(registry.host);
  const layout = join(work, 'layout');
  layers = (await makeShellImage(layout, 'big')).map(({ digest }) => digest.slice(7));
  await registry.push(layout, 'big', 'team/big:v1');
});

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

beforeEach(async () => {
  proxy.corrupt(undefined);
  await proxy.stop();
  await proxy.start();
  proxy.take();
});

/** How often each layer of the base was asked for. */
function layerFetches(seen: readonly string[]): number[] {
  return layers.map((hex) => seen.filter((line) => line.startsWith('GET') && line.includes(hex)).length);
}

async function run(project: Project, ...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await project.run(['--progress', 'plain', ...args, '.']);
  expect(code, stderr).toBe(0);
  return stderr + stdout;
}

const blobsOf = ({ store }: Project): string[] => readdirSync(join(store, 'blobs/sha256'));

describe('a base image in a registry', () => {
  it('is fetched without its layers when nothing needs them', async () => {
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nENV A=1\nLABEL b=c\n` });
    await run(project, '-o', 'type=cacheonly');
    expect(layerFetches(proxy.take())).toEqual([0, 0]);
    project.write({
      Dockerfile: `FROM ${proxy.host}/team/big:v1 AS config
FROM config AS unused
RUN exit 1
FROM scratch
COPY busybox /
`,
    });
    await run(project, '-t', 'app');
    expect(proxy.take()).toEqual([]);
  });

  it('is fetched once, layer by layer, when a RUN or an export needs it, and never again', async () => {
    const project = createProject({
      Dockerfile: `FROM ${proxy.host}/team/big:v1\nRUN echo $FROM_BASE >/made\n`,
    });
    const shown = await run(project, '-o', 'type=cacheonly');
    expect(shown).toMatch(/^#(\d+) fetching \S+\/team\/big:v1\S*\n(?:#\1 .*\n)*#\1 DONE /m);
    for (const hex of layers) expect(shown).toMatch(new RegExp(`^#\\d+ sha256:${hex} .* done$`, 'm'));
    const seen = proxy.take();
    expect(layerFetches(seen)).toEqual([1, 1]);
    expect(seen.filter((line) => line.includes('/manifests/')).length).toBeLessThanOrEqual(2);
    await run(project, '-t', 'app');
    expect(proxy.take()).toEqual([]);
    const image = await checkedLayout(project.store, 'app:latest');
    expect(image.files.get('/made')?.text).toBe('yes\n');
    // The base's blobs are used as they came.
    expect(image.layers.slice(0, 2).map(({ digest }) => digest.slice(7))).toEqual(layers);
  });

  it('is fetched for an export without RUN, and not for a copy that is cached', async () => {
    const first = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nENV A=1\n` });
    await run(first, '-t', 'app');
    expect(layerFetches(proxy.take())).toEqual([1, 1]);

    const second = createProject({
      Dockerfile: `FROM ${proxy.host}/team/big:v1 AS build\nRUN echo made >/made\nFROM scratch\nCOPY --from=build /made /\n`,
    });
    await run(second, '-t', 'app');
    expect(layerFetches(proxy.take())).toEqual([1, 1]);
    for (const hex of layers) rmSync(join(second.store, 'blobs/sha256', hex));
    const snapshots = join(second.store, 'snapshots');
    for (const name of readdirSync(snapshots)) {
      if (!name.startsWith('run-')) rmSync(join(snapshots, name), { recursive: true });
    }
    await run(second, '-t', 'again');
    expect(proxy.take()).toEqual([]);
    expect((await checkedLayout(second.store, 'again:latest')).files.get('/made')?.text).toBe('made\n');
  });

  it('needs no registry when it was built on before', async () => {
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nRUN echo 1 >/made\n` });
    await run(project, '-t', 'app');
    await proxy.stop();
    project.write({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nRUN echo 2 >/made\n` });
    await run(project, '-t', 'app');
    await run(project, '-t', 'other', '--pull=never');
    expect((await checkedLayout(project.store, 'app:latest')).files.get('/made')?.text).toBe('2\n');
  });

  it('is asked for by HEAD only when --pull is given and nothing changed', async () => {
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nRUN echo 1 >/made\n` });
    await run(project, '-t', 'app');
    proxy.take();
    await run(project, '-t', 'app', '--pull');
    await run(project, '-t', 'app', '--pull=newer');
    expect(proxy.take()).toEqual(Array.from({ length: 2 }, () => 'HEAD team/big/manifests/v1'));
    await proxy.stop();
    await run(project, '-t', 'app', '--pull=newer');
    const { code, stderr } = await project.run(['-t', 'app', '--pull', '.']);
    expect(stderr).toMatch(/^error\[REGISTRY_UNREACHABLE\]: Cannot [^\n]*\n {2}Dockerfile:1:1/m);
    expect(code).toBe(4);
  });

  it.each<[string, string[], string, number, RegExp]>([
    [
      '--pull=never and it is not in the store',
      ['--pull=never'],
      'big:v1',
      1,
      /^error\[IMAGE_NOT_FOUND\]: Cannot/m,
    ],
    ['the registry lacks it', [], 'small:v1', 4, /^error\[[A-Z_]*NOT_FOUND\]: Cannot [^\n]*small:v1/m],
  ])('fails clearly when %s', async (_what, args, name, code, message) => {
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/${name}\nENV A=1\n` });
    const result = await project.run([...args, '.']);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toMatch(/^hint: /m);
    expect(result.code).toBe(code);
    expect(blobsOf(project)).toEqual([]);
  });

  it('fails with 4 when it is not here and the registry is down', async () => {
    await proxy.stop();
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nENV A=1\n` });
    const { code, stderr } = await project.run(['.']);
    expect(stderr).toMatch(/^error\[REGISTRY_UNREACHABLE\]: Cannot [^\n]*127\.0\.0\.1/m);
    expect(code).toBe(4);
  });

  it('fails clearly and keeps nothing when a layer comes damaged, and works when it comes whole', async () => {
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nRUN echo 1 >/made\n` });
    proxy.corrupt(new RegExp(layers[1] ?? '-'));
    const { code, stderr } = await project.run(['-t', 'app', '.']);
    expect(stderr).toMatch(
      new RegExp(`^error\\[REGISTRY_RESPONSE_INVALID\\]: Cannot [^\\n]*${layers[1]}`, 'm'),
    );
    expect(code).toBe(4);
    expect(blobsOf(project)).not.toContain(layers[1]);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
    proxy.corrupt(undefined);
    await run(project, '-t', 'app');
    expect((await checkedLayout(project.store, 'app:latest')).files.get('/made')?.text).toBe('1\n');
  });

  it('is fetched again when only its name is left in the store', async () => {
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nENV A=1\n` });
    await run(project, '-o', 'type=cacheonly');
    rmSync(join(project.store, 'cache.db'));
    project.write({ Dockerfile: `FROM ${proxy.host}/team/big:v1\nRUN echo 1 >/made\n` });
    await run(project, '-t', 'app');
    expect((await checkedLayout(project.store, 'app:latest')).files.get('/made')?.text).toBe('1\n');
    expect(readFileSync(join(project.store, 'index.json'), 'utf8')).toContain('team/big:v1');
  });
});

it('a base whose layers leave directories out keeps their owners and modes in a RUN and a COPY', async () => {
  const dir = (name: string, mode: number, gid: number): Member => ({ name, mode, gid, type: 'directory' });
  const more = [
    [dir('tmp', 0o1777, 0), dir('srv', 0o2770, 7), dir('usr/lib', 0o755, 0)],
    [{ name: 'lib', type: 'symlink' as const, linkname: 'usr/lib' }],
    ['tmp/x', 'srv/deep/x', 'lib/x'].map((name) => ({ name, data: 'x' })),
  ];
  const layout = join(work, 'sparse');
  await makeShellImage(layout, 'v1', await Promise.all(more.map(foreignTar)));
  const project = createProject({
    Dockerfile: `FROM base
RUN busybox stat -c '%n %a %g' /tmp /srv /srv/deep /lib >/seen
COPY Dockerfile /lib/
RUN busybox ls /lib /usr/lib >>/seen; echo 1 >/srv/new
`,
  });
  const dest = join(work, 'out');
  await run(project, '--build-context', `base=oci-layout://${layout}:v1`, '-o', dest);
  expect(readFileSync(join(dest, 'seen'), 'utf8')).toBe(
    '/tmp 1777 0\n/srv 2770 7\n/srv/deep 755 0\n/lib 755 0\n/lib:\nDockerfile\nx\n\n/usr/lib:\n',
  );
  const { mode, gid } = statSync(join(dest, 'srv'));
  expect([mode & 0o7777, gid]).toEqual([0o2770, 7]);
});
