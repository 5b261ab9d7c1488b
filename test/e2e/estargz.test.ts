import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Descriptor, MEDIA_TYPE } from '../../src/image/types.ts';
import { decodeFooter } from '../../src/layer/estargz/estargz-toc.ts';
import { type CountingProxy, startCountingProxy } from '../support/counting-proxy.ts';
import { checkedLayout } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { createProject, type Project } from './cli-support.ts';

const TOC = 'containerd.io/snapshot/stargz/toc.digest';
const LAYER_BYTES = 2_000_000;
const work = mkdtempSync(join(tmpdir(), 'ocibuild-estargz-'));
let registry: TestRegistry;
let proxy: CountingProxy;

beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startCountingProxy(registry.host);
});

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

beforeEach(() => {
  proxy.take();
  proxy.takeBytes();
});

async function run(project: Project, ...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await project.run([...args, '.']);
  expect(code, stderr).toBe(0);
  return stdout.toString().trim();
}

/** Two layers, the lower one with the large file and a symlink; pushed as eStargz. */
async function pushBase(name: string): Promise<readonly Descriptor[]> {
  const project = createProject({
    Dockerfile: 'FROM scratch\nCOPY big /opt/\nCOPY --chown=7:8 --chmod=750 dir /opt/dir\nCOPY links /\n',
    'dir/f': 'f\n',
  });
  writeFileSync(join(project.dir, 'big'), randomBytes(LAYER_BYTES));
  execFileSync('mkdir', [join(project.dir, 'links')]);
  execFileSync('ln', ['-s', 'opt/dir', join(project.dir, 'links/way')]);
  const dest = join(work, name.replace(/\W/g, '-'));
  const outputs = ['-o', 'type=registry,compression=estargz', '-o', `type=oci,tar=false,dest=${dest}`];
  await run(project, '-q', '-t', `${registry.host}/${name}`, ...outputs);
  const pushed = await manifestOf(name);
  // Each output of a build has its own compression.
  const { layers } = await checkedLayout(dest);
  expect(layers.map(({ annotations }) => annotations)).toEqual([undefined, undefined, undefined]);
  expect(pushed.map(({ annotations }) => annotations?.[TOC])).toEqual(Array(3).fill(expect.any(String)));
  return pushed;
}

async function manifestOf(name: string): Promise<readonly Descriptor[]> {
  const [repository, tag] = name.split(':');
  const answer = await fetch(`http://${registry.host}/v2/${repository}/manifests/${tag}`, {
    headers: { accept: MEDIA_TYPE.manifest },
  });
  return ((await answer.json()) as { layers: readonly Descriptor[] }).layers;
}

const blobGets = (seen: readonly string[], layers: readonly Descriptor[]): number =>
  seen.filter((line) => line.startsWith('GET') && layers.some(({ digest }) => line.includes(digest))).length;

describe('compression=estargz', () => {
  it('pushes what a build on it extends without the layers of the base', async () => {
    const base = await pushBase('team/base:v1');
    const project = createProject({
      Dockerfile: `FROM ${proxy.host}/team/base:v1\nENV A=1\nCOPY --link f /g\n`,
      f: 'g',
    });
    await run(project, '-q', '-t', `${proxy.host}/team/linked:v1`, '--push');
    expect(blobGets(proxy.take(), base)).toBe(0);

    // Where a directory is a symlink, whose it is: that is in the lists at the ends of the layers.
    project.write({ Dockerfile: `FROM ${proxy.host}/team/base:v1\nCOPY f /way/new\n` });
    proxy.takeBytes();
    await run(project, '-q', '-t', `${proxy.host}/team/app:v1`, '--push');
    expect(blobGets(proxy.take(), base)).toBe(2 * base.length);
    expect(proxy.takeBytes()).toBeLessThan(LAYER_BYTES / 10);
    const layers = await manifestOf('team/app:v1');
    expect(layers.slice(0, 3)).toEqual(base);

    const pulled = join(work, 'pulled');
    execFileSync('skopeo', [
      ...['copy', '--quiet', '--insecure-policy', '--src-tls-verify=false'],
      ...[`docker://${registry.host}/team/app:v1`, `oci:${pulled}:v1`],
    ]);
    const { files } = await checkedLayout(pulled);
    expect(files.get('/opt/dir/new')).toMatchObject({ uid: 0, text: 'g' });
    expect(files.get('/opt/dir')).toMatchObject({ mode: '750', uid: 7, gid: 8 });
    // To ordinary readers the list is a file as any other.
    expect(files.has('/stargz.index.json')).toBe(true);
  });

  it('converts the layers of a base when it is forced, and gives the same bytes again', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox f /d/\n', f: 'f' });
    await run(project, '-q', '-t', 'base');
    project.write({ Dockerfile: 'FROM base\nRUN ["/d/busybox", "ln", "/d/f", "/d/hard"]\n' });
    const [kept, forced, again] = ['kept', 'forced', 'again'].map((name) => join(work, name));
    const output = (dest: string | undefined, more = ''): string[] => [
      ...['-q', '-o', `type=oci,tar=false,dest=${dest},compression=estargz${more}`],
    ];
    await run(project, ...output(kept));
    await run(project, ...output(forced, ',force-compression=true'));
    await run(project, ...output(again, ',force-compression=true'));
    const [plain, image] = [await checkedLayout(kept ?? ''), await checkedLayout(forced ?? '')];
    expect(plain.layers.map(({ annotations }) => annotations?.[TOC] !== undefined)).toEqual([false, true]);
    expect(image.layers.map(({ annotations }) => annotations?.[TOC] !== undefined)).toEqual([true, true]);
    expect((await checkedLayout(again ?? '')).manifestDigest).toBe(image.manifestDigest);
    for (const { digest } of image.layers) {
      const blob = readFileSync(join(forced ?? '', 'blobs', digest.replace(':', '/')));
      expect(decodeFooter(blob.subarray(-51))).toBeGreaterThan(0);
    }
    expect(image.files.get('/d/hard')?.text).toBe('f');
  });

  it('is refused where annotations have no place', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    const output = 'type=store,compression=estargz,oci-mediatypes=false';
    const { code, stderr } = await project.run(['-q', '-o', output, '.']);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('estargz') });
  });
});
