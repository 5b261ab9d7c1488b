import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Index, type Manifest, MEDIA_TYPE } from '../../src/image/types.ts';
import { sys } from '../../src/layer/sys.ts';
import { makeShellImage } from '../support/base-image.ts';
import { type FlatEntry, type FlatImage, flattenTars } from '../support/flatten.ts';
import { type CheckedImage, checkedArchive, checkedLayout, filesOf } from '../support/images.ts';
import { createProject, type Project } from './cli-support.ts';

const DOCKERFILE = `FROM base
COPY --chown=1000:1001 --chmod=4751 tool /srv/tool
RUN ln /srv/tool /srv/hard && ln -s ../srv /bin/link && mkfifo -m 620 /srv/pipe && mkdir -m 1777 /srv/tmp
RUN rm -r /opt && mkdir /opt && echo new >/opt/file && chown 70000:5 /opt/file && mv /srv/tmp /srv/moved
WORKDIR /work
CMD ["sh", "-c", "cat /opt/file"]
`;

const work = mkdtempSync(join(tmpdir(), 'ocibuild-outputs-'));
const flags = ['--build-context', `base=oci-layout://${join(work, 'layout')}:v1`];
beforeAll(async () => {
  await makeShellImage(join(work, 'layout'), 'v1');
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function build(project: Project, output: string): Promise<Buffer> {
  const { code, stderr, stdout } = await project.run(['-t', 'app', '-o', output, ...flags, '.']);

  expect(code, stderr).toBe(0);
  return stdout;
}

async function createBuilt(): Promise<{
  project: Project;
  image: CheckedImage;
  out: (name: string) => string;
}> {
  const project = createProject({ Dockerfile: DOCKERFILE, tool: '#!/bin/sh\necho tool\n' });
  await build(project, 'type=store');
  const image = await checkedLayout(project.store, 'app:latest');
  return { project, image, out: (name) => join(project.store, '..', name) };
}

const kindsOf = (image: CheckedImage): string[] =>
  image.layers.map(({ mediaType }) => /tar(\+\w+)?$/.exec(mediaType)?.[0] ?? mediaType);

/** The facts of a path on disk that an image keeps too. */
function factsOnDisk(root: string, entry: FlatEntry): Partial<FlatEntry> {
  const path = join(root, entry.path);
  const stat = lstatSync(path);
  const type = stat.isFile()
    ? 'file'
    : stat.isDirectory()
      ? 'dir'
      : stat.isSymbolicLink()
        ? 'symlink'
        : 'fifo';
  return {
    path: entry.path,
    type,
    mode: (stat.mode & 0o7777).toString(8),
    uid: stat.uid,
    gid: stat.gid,
    ...(type === 'file' ? { size: stat.size } : {}),
    ...(type === 'symlink' ? { link: readlinkSync(path) } : {}),
  };
}

function expectOnDisk(root: string, { files }: Pick<FlatImage, 'files'>): void {
  for (const entry of files.values()) {
    const { path, type, mode, uid, gid, size, link } = entry;
    expect(factsOnDisk(root, entry)).toEqual({
      ...{ path, type, mode, uid, gid },
      ...(size === undefined ? {} : { size }),
      ...(link === undefined ? {} : { link }),
    });
    if (entry.hardlinkOf !== undefined) {
      expect(lstatSync(join(root, path)).ino).toBe(lstatSync(join(root, entry.hardlinkOf)).ino);
    }
  }
  const found = execFileSync('find', [root, '-mindepth', '1', '-printf', '/%P\n'], { encoding: 'utf8' });
  expect(found.trimEnd().split('\n').toSorted()).toEqual([...files.keys()].toSorted());
}

describe('outputs of a build', () => {
  it('have names, annotations and a place of their own; a directory holds nothing else with mode=delete', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY d /d\n', 'd/f': 'f', 'out/old/x': 'x' });
    const kept = 'type=image,name=kept,name-canonical=true,unpack=true';
    expect(await project.run(['-q', '-o', kept, '.'])).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(join(project.store, 'snapshots'))).toHaveLength(1);
    const { config, manifestDigest } = await checkedLayout(project.store, 'kept:latest');
    expect((await checkedLayout(project.store, `kept:latest@${manifestDigest}`)).config).toEqual(config);

    const layout = 'type=oci,tar=false,dest=layout';
    const outputs = [
      `${layout},annotation.who=one`,
      `${layout},"name=two:2,three:3",compression=uncompressed,annotation.who=two`,
      'type=local,dest=out,mode=delete',
    ];
    const flags = ['--progress', 'plain', '-t', 'one:1', ...outputs.flatMap((output) => ['-o', output]), '.'];
    const { code, stderr } = await project.run(flags);
    expect(code, stderr).toBe(0);
    expect(readdirSync(join(project.dir, 'out'), { recursive: true }).sort()).toEqual(['d', 'd/f']);
    const { manifests } = JSON.parse(readFileSync(join(project.dir, 'layout/index.json'), 'utf8')) as Index;
    const seen = manifests.map(({ annotations, digest }) => {
      const blob = readFileSync(join(project.dir, 'layout/blobs', digest.replace(':', '/')), 'utf8');
      const manifest = JSON.parse(blob) as Manifest;
      const { layers, annotations: { who } = {} } = manifest;
      return [annotations?.['org.opencontainers.image.ref.name'], who, layers[0]?.mediaType];
    });
    expect(seen).toEqual([
      ['1', 'one', MEDIA_TYPE.layerGzip],
      ['2', 'two', MEDIA_TYPE.layerTar],
      ['3', 'two', MEDIA_TYPE.layerTar],
    ]);
  });

  it('are the same image in an archive, a layout directory, a stream and the store', async () => {
    const { project, image, out } = await createBuilt();
    await build(project, `type=oci,dest=${out('a.tar')}`);
    const unnamed = `type=oci,tar=false,dest=${out('layout')}`;
    // Twice: the image of a build without a name takes the place of the one before.
    await build(project, `${unnamed},compression=uncompressed`);
    await build(project, unnamed);
    const { manifests } = JSON.parse(readFileSync(out('layout/index.json'), 'utf8')) as Index;
    expect(manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'])).toEqual([
      'latest',
    ]);
    const stream = await build(project, 'type=oci,dest=-');
    expect(stream.equals(readFileSync(out('a.tar')))).toBe(true);
    for (const other of [await checkedArchive(stream), await checkedLayout(out('layout'))]) {
      expect(other.manifestDigest).toBe(image.manifestDigest);
    }
    expect(image.files.get('/srv/tool')).toMatchObject({
      mode: '4751',
      uid: 1000,
      gid: 1001,
      hardlinkOf: '/srv/hard',
    });
    expect([...image.files.keys()].filter((path) => path.startsWith('/opt'))).toEqual(['/opt', '/opt/file']);
  });

  it('have the compression that was asked for, and base layers only when forced', async () => {
    const { project, image, out } = await createBuilt();
    const asked: [string, string[]][] = [
      ['compression=zstd', ['tar+gzip', 'tar+gzip', ...Array(4).fill('tar+zstd')]],
      ['compression=zstd,compression-level=12,force-compression=true', Array(6).fill('tar+zstd')],
      ['compression=uncompressed,force-compression=true', Array(6).fill('tar')],
      ['compression=uncompressed', ['tar+gzip', 'tar+gzip', ...Array(4).fill('tar')]],
      ['compression=gzip,compression-level=0', Array(6).fill('tar+gzip')],
    ];
    for (const [attributes, kinds] of asked) {
      await build(project, `type=oci,dest=${out('a.tar')},${attributes}`);
      const other = await checkedArchive(out('a.tar'));
      expect(kindsOf(other), attributes).toEqual(kinds);
      expect(other.diffIds, attributes).toEqual(image.diffIds);
    }
    // What was asked for once is not what the next build gets.
    await build(project, 'type=store');
    const again = await checkedLayout(project.store, 'app:latest');
    expect(kindsOf(again)).toEqual(Array(6).fill('tar+gzip'));
  });

  it('have the compression that was asked for when the store is empty', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE, tool: 'tool' });
    const dest = join(project.store, '../a.tar');
    await build(project, `type=oci,dest=${dest},compression=zstd`);
    expect(kindsOf(await checkedArchive(dest)).slice(2)).toEqual(Array(4).fill('tar+zstd'));
  });

  it('are the files of the image in a directory and in a tar', async () => {
    const { project, image, out } = await createBuilt();
    await build(project, `type=local,dest=${out('files')}`);
    expectOnDisk(out('files'), image);
    await build(project, `type=tar,dest=${out('files.tar')}`);
    const tar = readFileSync(out('files.tar'));
    expect(filesOf(await flattenTars([tar]))).toEqual(filesOf(image));
    expect((await build(project, '-')).equals(tar)).toBe(true);
  });

  it('keep extended attributes', async () => {
    const project = createProject({ Dockerfile: DOCKERFILE, tool: 'tool' });
    const flat = await withCapability(project);
    expect(flat.image.files.get('/tool')?.xattrs).toEqual({ 'security.capability': flat.hex });
    expect(flat.disk.toString('hex')).toBe(flat.hex);
    expect(flat.tar.files.get('/tool')?.xattrs).toEqual({ 'security.capability': flat.hex });
  });

  it('are images that skopeo copies, umoci unpacks and runc runs', async () => {
    const { project, image, out } = await createBuilt();
    await build(project, `type=oci,tar=false,dest=${out('layout')},name=app:v0`);
    const run = (command: string, ...args: string[]): string =>
      execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    run('skopeo', '--insecure-policy', 'copy', `oci:${project.store}:app:latest`, `dir:${out('dir')}`);
    expect(readFileSync(join(out('dir'), 'manifest.json'), 'utf8')).toContain(image.layers[0]?.digest);
    run('skopeo', '--insecure-policy', 'copy', `oci:${project.store}:app:latest`, `oci:${out('copied')}:it`);
    run('umoci', 'unpack', '--image', `${out('copied')}:it`, out('umoci'));
    expectOnDisk(join(out('umoci'), 'rootfs'), image);
    const unpacked = await project.run(['unpack', 'app', out('bundle')]);
    expect(unpacked.code, unpacked.stderr).toBe(0);
    expectOnDisk(join(out('bundle'), 'rootfs'), image);
    mkdirSync(out('state'));
    const id = `ocibuild-outputs-${process.pid}`;
    expect(run('runc', '--root', out('state'), 'run', '--bundle', out('bundle'), id)).toBe('new\n');
  });
});

/** Builds a context whose file has a capability, which ADD of an archive keeps. */
async function withCapability(
  project: Project,
): Promise<{ image: CheckedImage; tar: Pick<FlatImage, 'files'>; disk: Buffer; hex: string }> {
  // linux/capability.h: VFS_CAP_REVISION_2, effective, CAP_NET_BIND_SERVICE.
  const value = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  sys().lsetxattr(join(project.dir, 'tool'), 'security.capability', value);
  execFileSync('tar', [
    '--xattrs',
    '--xattrs-include=*',
    '-C',
    project.dir,
    '-cf',
    join(project.dir, 'a.tar'),
    'tool',
  ]);
  project.write({ Dockerfile: 'FROM scratch\nADD a.tar /\n' });
  await build(project, 'type=store');
  const out = join(project.store, '../files');
  await build(project, `type=local,dest=${out}`);
  return {
    image: await checkedLayout(project.store, 'app:latest'),
    tar: await flattenTars([await build(project, '-')]),
    disk: sys().lgetxattr(join(out, 'tool'), 'security.capability') ?? Buffer.alloc(0),
    hex: value.toString('hex'),
  };
}
