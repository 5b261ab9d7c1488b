import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Containerd, startContainerd } from '../support/containerd.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { createProject, type Project } from './cli-support.ts';

const exec = promisify(execFile);
const COMPRESSIONS = ['gzip', 'zstd', 'uncompressed'] as const;
const FILES = { Dockerfile: 'FROM scratch\nCOPY a /etc/a\nCOPY b /b\nLABEL x=y\n', a: 'one', b: 'two' };
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-interop-'));
const store = join(dir, 'store');
let registry: TestRegistry;
let containerd: Containerd;
/** Of `app:COMPRESSION` and of the index `many`, in the store that all tests share. */
const digests: Record<string, string> = {};

beforeAll(async () => {
  [registry, containerd] = await Promise.all([startRegistry(), startContainerd()]);
});

afterAll(async () => {
  await Promise.all([registry?.[Symbol.asyncDispose](), containerd?.[Symbol.asyncDispose]()]);
  rmSync(dir, { recursive: true, force: true });
});

async function run(project: Project, ...args: readonly string[]): Promise<string> {
  const { code, stderr, stdout } = await project.run(args, { store });
  expect(code, stderr).toBe(0);
  return stdout.toString().trim();
}

const copy = (project: Project, ...args: readonly string[]): Promise<string> =>
  run(project, 'copy', '-q', ...args);

/** An empty project before a store that holds an image in each compression, and an index. */
async function prepared(): Promise<Project> {
  const project = createProject(FILES);
  if (digests.many !== undefined) return project;
  for (const compression of COMPRESSIONS) {
    const output = `type=store,force-compression=true,compression=${compression}`;
    digests[compression] = await run(project, 'build', '-q', '-t', `app:${compression}`, '-o', output, '.');
  }
  mkdirSync(join(dir, 'many'));
  await makeLayout(join(dir, 'many'), 'v1', [
    { layers: [{ arch: 'amd64' }] },
    { layers: [{ arch: 'arm64' }], platform: { os: 'linux', architecture: 'arm64' } },
  ]);
  digests.many = await copy(project, `oci:${dir}/many:v1`, 'store:many:v1');
  return project;
}

/** The file of the image's last layer, as `ocibuild unpack` lays it out. */
async function unpacked(project: Project, image: string): Promise<string> {
  const bundle = mkdtempSync(join(dir, 'bundle-'));
  await run(project, 'unpack', image, join(bundle, 'b'));
  return readFileSync(join(bundle, 'b/rootfs/etc/a'), 'utf8');
}

describe('containerd', () => {
  it('imports archives of both kinds in every compression', async () => {
    const project = await prepared();
    const expected = new Map<string, string | undefined>();
    const importCopy = async (target: string, ...source: readonly string[]): Promise<string> => {
      const digest = await copy(project, ...source, target);
      const path = join(project.dir, target.split(':')[1] ?? '');
      // What is unpacked was read to its last byte.
      await containerd.ctr('image', 'import', '--snapshotter', 'native', '--base-name', 'x.test/oci', path);
      return digest;
    };
    const importAll = async (tag: string): Promise<void> => {
      const source = `store:app:${tag}`;
      expected.set(`x.test/oci:${tag}`, await importCopy(`oci-archive:oci-${tag}.tar:${tag}`, source));
      expected.set(
        `docker.io/library/save:${tag}`,
        await importCopy(`docker-archive:save-${tag}.tar:save:${tag}`, source),
      );
      const v2 = await importCopy(`docker-archive:v2-${tag}.tar:v2:${tag}`, '--format', 'docker', source);
      expected.set(`docker.io/library/v2:${tag}`, v2);
    };
    await Promise.all(COMPRESSIONS.map(importAll));
    expect(await containerd.images()).toEqual(expected);
  });

  it('imports an index with all platforms', async () => {
    const project = await prepared();
    await copy(project, 'store:many:v1', 'oci-archive:many.tar:v1');
    const flags = ['--all-platforms', '--snapshotter', 'native', '--base-name', 'x.test/many'];
    await containerd.ctr('image', 'import', ...flags, join(project.dir, 'many.tar'));
    expect((await containerd.images()).get('x.test/many:v1')).toBe(digests.many);
    const back = join(project.dir, 'back.tar');
    await containerd.ctr('image', 'export', '--all-platforms', back, 'x.test/many:v1');
    expect(await copy(project, `oci-archive:${back}`, 'store:x')).toBe(digests.many);
  });

  it('exports what is read as the very images, also those that differ in compression alone', async () => {
    const project = await prepared();
    const names = COMPRESSIONS.map((compression) => `docker.io/library/save:${compression}`);
    const file = join(project.dir, 'export.tar');
    await containerd.ctr('image', 'export', file, ...names);
    for (const compression of COMPRESSIONS) {
      const from = `docker-archive:${file}:save:${compression}`;
      expect(await copy(project, from, `store:back:${compression}`)).toBe(digests[compression]);
      expect(await copy(project, `oci-archive:${file}:${compression}`, 'store:x')).toBe(digests[compression]);
    }
    expect(await unpacked(project, 'back:zstd')).toBe('one');
    await containerd.ctr('image', 'export', join(project.dir, 'one.tar'), 'x.test/many:v1');
    const lacking = await project.run(['copy', 'oci-archive:one.tar', 'store:x'], { store });
    expect(lacking).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/BLOB_NOT_FOUND.*\n.*--platform/),
    });
    await copy(project, '--platform', 'linux/amd64', 'oci-archive:one.tar', 'store:x');
  });

  it('pulls what was pushed, and pushes what is pulled', async () => {
    const project = await prepared();
    const [one, many] = [`${registry.host}/ctr/app:v0`, `${registry.host}/ctr/many:v1`];
    expect(await run(project, 'push', '-q', 'app:zstd', one)).toBe(digests.zstd);
    expect(await run(project, 'push', '-q', 'many:v1', many)).toBe(digests.many);
    const flags = ['--plain-http', '--snapshotter', 'native'];
    await containerd.ctr('image', 'pull', ...flags, one);
    await containerd.ctr('image', 'pull', ...flags, '--all-platforms', many);
    expect((await containerd.images()).get(many)).toBe(digests.many);
    const back = `${registry.host}/ctr/back:v1`;
    await containerd.ctr('image', 'push', '--plain-http', back, many);
    expect(await run(project, 'pull', '-q', '--all-platforms', back)).toBe(digests.many);
  });
});

describe('skopeo', () => {
  it('reads every form in every compression', async () => {
    const project = await prepared();
    const readAll = async (compression: string): Promise<void> => {
      const at = (name: string): string => join(project.dir, `${compression}-${name}`);
      const remote = `docker://${registry.host}/skopeo/app:${compression}`;
      const files = [
        `oci:${at('l')}:a`,
        `oci-archive:${at('o.tar')}:a`,
        `docker-archive:${at('d.tar')}:app:a`,
      ];
      for (const place of [...files, remote]) {
        await copy(project, `store:app:${compression}`, place);
        const flags = place === remote ? ['--src-tls-verify=false'] : [];
        const target = mkdtempSync(join(dir, 'read-'));
        await exec('skopeo', ['copy', '-q', ...flags, place, `dir:${target}`]);
        expect(existsSync(join(target, 'manifest.json'))).toBe(true);
      }
    };
    await Promise.all(COMPRESSIONS.map(readAll));
  });

  it('writes what is read, with other compressions and media types', async () => {
    const project = await prepared();
    await copy(project, 'store:app:gzip', 'oci:l:a');
    const source = `oci:${project.dir}/l:a`;
    const forms: readonly (readonly string[])[] = [
      ['--dest-compress-format=zstd', '--dest-compress', `oci:${project.dir}/z:a`],
      ['--dest-decompress', `oci:${project.dir}/plain:a`],
      ['--format=v2s2', '--dest-tls-verify=false', `docker://${registry.host}/skopeo/v2:a`],
      ['--dest-compress-format=zstd', '--dest-tls-verify=false', `docker://${registry.host}/skopeo/z:a`],
      [`docker-archive:${project.dir}/d.tar:app:a`],
      [`oci-archive:${project.dir}/o.tar:app:a`],
    ];
    const readBack = async (form: readonly string[], i: number): Promise<void> => {
      await exec('skopeo', ['copy', '-q', ...form.slice(0, -1), source, form.at(-1) ?? '']);
      await copy(project, form.at(-1) ?? '', `store:skopeo:${i}`);
      expect(await unpacked(project, `skopeo:${i}`)).toBe('one');
    };
    await Promise.all(forms.map(readBack));
    const all = ['copy', '-q', '--all', '--preserve-digests', '--dest-tls-verify=false'];
    const many = `docker://${registry.host}/skopeo/many:v1`;
    await exec('skopeo', [...all, `oci:${dir}/many:v1`, many]);
    expect(await copy(project, many, 'store:x')).toBe(digests.many);
  });
});

describe('umoci', () => {
  it('unpacks what was written, and writes what is read', async () => {
    const project = await prepared();
    const layout = join(project.dir, 'layout');
    const umoci = (...args: readonly string[]) => exec('umoci', args);
    for (const tag of ['gzip', 'uncompressed']) {
      await copy(project, `store:app:${tag}`, `oci:layout:${tag}`);
      await umoci('unpack', '--image', `${layout}:${tag}`, join(project.dir, tag));
      expect(readFileSync(join(project.dir, tag, 'rootfs/etc/a'), 'utf8')).toBe('one');
    }
    await umoci('new', '--image', `${layout}:own`);
    await umoci('insert', '--image', `${layout}:own`, join(project.dir, 'a'), '/etc/a');
    await umoci('config', '--image', `${layout}:own`, '--config.env', 'A=1', '--config.cmd', '/x');
    await umoci('insert', '--image', `${layout}:gzip`, '--tag', 'more', '--whiteout', '/b');
    for (const tag of ['own', 'more']) {
      await copy(project, `oci:layout:${tag}`, `store:umoci:${tag}`);
      expect(await unpacked(project, `umoci:${tag}`)).toBe('one');
    }
    project.write({ Dockerfile: 'FROM base\nCOPY --from=base /etc/a /copy\n' });
    await run(project, 'build', '-q', '--build-context', `base=oci-layout://${layout}:more`, '.');
  });
});
