import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeLayoutIndex } from '../../src/image/layout-index.ts';
import { encodeDocument } from '../../src/image/manifest.ts';
import { type Descriptor, MEDIA_TYPE } from '../../src/image/types.ts';
import { makeLayout, writeBlob } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { createProject, type Project } from './cli-support.ts';

const exec = promisify(execFile);
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-copy-'));
const FILES = { Dockerfile: 'FROM scratch\nCOPY a /a\nCOPY b /b\nLABEL x=y\n', a: 'one', b: 'two' };
let registry: TestRegistry;

beforeAll(async () => {
  registry = await startRegistry();
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

async function copy(project: Project, ...args: readonly string[]): Promise<string> {
  const { code, stderr, stdout } = await project.run(['copy', '-q', ...args]);
  expect(code, stderr).toBe(0);
  return stdout.toString().trim();
}

/** What skopeo says of an image: its digest, and the digest of its config and of the uncompressed layers. */
async function seen(image: string): Promise<{ digest: string; config: unknown }> {
  const insecure = image.startsWith('docker://') ? ['--tls-verify=false'] : [];
  const [digest, config] = await Promise.all([
    exec('skopeo', ['inspect', ...insecure, '--format', '{{.Digest}}', image]),
    exec('skopeo', ['inspect', ...insecure, '--config', image]),
  ]);
  return { digest: digest.stdout.trim(), config: JSON.parse(config.stdout) };
}

async function builtProject(): Promise<{ project: Project; digest: string }> {
  const project = createProject(FILES);
  const { stdout } = await project.run(['build', '-q', '-t', 'app:v0', '.']);
  return { project, digest: stdout.toString().trim() };
}

describe('ocibuild copy', () => {
  it('keeps the digest through every place, and skopeo reads each', async () => {
    const { project, digest } = await builtProject();
    const [first] = [await copy(project, 'store:app:v0', `docker://${registry.host}/team/app:v0`)];
    expect(first).toBe(digest);
    const places = [
      'oci:layout:v0',
      'oci-archive:oci.tar:v0',
      'docker-archive:docker.tar:app:v0',
      'store:back:v0',
    ];
    let from = `docker://${registry.host}/team/app:v0`;
    for (const to of places) {
      expect(await copy(project, from, to)).toBe(digest);
      from = to;
    }
    const inContext = (image: string): string => image.replace(/^([a-z-]+):/, `$1:${project.dir}/`);
    expect((await seen(inContext('oci:layout:v0'))).digest).toBe(digest);
    expect((await seen(inContext('oci-archive:oci.tar:v0'))).digest).toBe(digest);
    const { config } = await seen(`docker://${registry.host}/team/app:v0`);
    expect((await seen(inContext('docker-archive:docker.tar:app:v0'))).config).toEqual(config);
    await exec('umoci', ['unpack', '--image', `${project.dir}/layout:v0`, `${project.dir}/bundle`]);
    expect(readFileSync(join(project.dir, 'bundle/rootfs/b'), 'utf8')).toBe('two');
    const back = await project.run(['unpack', 'back:v0', join(project.dir, 'bundle2')]);
    expect(back.code, back.stderr).toBe(0);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('reads what skopeo writes: archives of both kinds, also compressed', async () => {
    const { project } = await builtProject();
    await copy(project, 'store:app:v0', 'oci:layout:v0');
    const at = (name: string): string => join(project.dir, name);
    await exec('skopeo', ['copy', '-q', `oci:${at('layout')}:v0`, `docker-archive:${at('d.tar')}:app:v0`]);
    await exec('skopeo', ['copy', '-q', `oci:${at('layout')}:v0`, `oci-archive:${at('o.tar')}:v1`]);
    writeFileSync(at('d.tar.gz'), gzipSync(readFileSync(at('d.tar'))));
    const plain = await copy(project, 'docker-archive:d.tar:app:v0', 'store:plain');
    expect(await copy(project, 'docker-archive:d.tar.gz', 'oci:layout:gz')).toBe(plain);
    await copy(project, 'oci-archive:o.tar:v1', 'store:oci');
    for (const name of ['plain', 'oci']) {
      const bundle = at(`bundle-${name}`);
      expect(await project.run(['unpack', name, bundle])).toMatchObject({ code: 0 });
      expect(readFileSync(join(bundle, 'rootfs/a'), 'utf8')).toBe('one');
    }
    expect(readdirSync('/var/tmp').filter((name) => name.startsWith('ocibuild-archive-'))).toEqual([]);
  });

  it('converts media types and back, digest for digest', async () => {
    const { project, digest } = await builtProject();
    const docker = await copy(
      project,
      '--format',
      'docker',
      'store:app:v0',
      `docker://${registry.host}/conv/app`,
    );
    expect(docker).not.toBe(digest);
    const { stdout } = await exec('skopeo', [
      ...['inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/conv/app`],
    ]);
    const types = [...stdout.matchAll(/"mediaType": "([^"]+)"/g)].map(([, type]) => type);
    expect(types).toHaveLength(4);
    expect(types.every((type) => type?.startsWith('application/vnd.docker.'))).toBe(true);
    expect(await copy(project, '--format', 'oci', `docker://${registry.host}/conv/app`, 'store:oci')).toBe(
      digest,
    );
    const built = await project.run([
      'build',
      '-q',
      '-t',
      'app:d',
      '-o',
      'type=store,oci-mediatypes=false',
      '.',
    ]);
    expect(built.stdout.toString().trim()).toBe(docker);
  });

  it('keeps an index whole, and takes one platform of it for a Docker archive', async () => {
    const project = createProject({});
    const layout = join(project.dir, 'many');
    mkdirSync(layout);
    const index = await makeLayout(layout, 'many', [
      { layers: [{ arch: 'amd64' }] },
      { layers: [{ arch: 'arm64' }], platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    const name = `docker://${registry.host}/team/many:v1`;
    expect(await copy(project, 'oci:many:many', name)).toBe(index.digest);
    expect(await copy(project, '--all-platforms', name, 'oci-archive:many.tar')).toBe(index.digest);
    const whole = await project.run(['copy', 'oci-archive:many.tar', 'docker-archive:d.tar']);
    expect(whole).toMatchObject({ code: 1, stderr: expect.stringMatching(/IMAGE_INVALID[\s\S]*--platform/) });
    await copy(project, '--platform', 'linux/arm64', 'oci-archive:many.tar', 'docker-archive:d.tar');
    const { config } = await seen(`docker-archive:${join(project.dir, 'd.tar')}`);
    expect(config).toMatchObject({ architecture: 'arm64' });
    const none = await project.run(['copy', '--platform', 'linux/s390x', 'docker-archive:d.tar', 'store:x']);
    expect(none.stderr).toMatch(/IMAGE_PLATFORM_MISSING.*linux\/arm64/);
    expect(readdirSync(project.dir).filter((file) => file.startsWith('.'))).toEqual([]);
  });

  it('keeps referrers: by tag in a registry without a list of them, as entries in a layout', async () => {
    const project = createProject({});
    const layout = join(project.dir, 'signed');
    mkdirSync(layout);
    const image = await makeLayout(layout, 'v1', { layers: [{ a: 'one' }] });
    const signatures = ['one', 'two'].map((text): Descriptor => {
      const manifest = {
        schemaVersion: 2 as const,
        mediaType: MEDIA_TYPE.manifest,
        artifactType: 'application/x.signature',
        config: writeBlob(layout, Buffer.from('{}'), MEDIA_TYPE.empty),
        layers: [writeBlob(layout, Buffer.from(text), 'text/plain')],
        subject: { mediaType: image.mediaType, digest: image.digest, size: image.size },
      };
      return writeBlob(layout, encodeDocument(manifest), MEDIA_TYPE.manifest);
    });
    await writeLayoutIndex(layout, signatures, { signal: AbortSignal.timeout(100_000) });
    const name = `docker://${registry.host}/signed/app:v1`;
    expect(await copy(project, 'oci:signed:v1', name)).toBe(image.digest);
    await copy(project, 'oci:signed:v1', name);
    const tag = `docker://${registry.host}/signed/app:${image.digest.replace(':', '-')}`;
    const { stdout } = await exec('skopeo', ['inspect', '--raw', '--tls-verify=false', tag]);
    const { manifests } = JSON.parse(stdout) as { manifests: Descriptor[] };
    expect(manifests.map(({ digest }) => digest)).toEqual(signatures.map(({ digest }) => digest));
    expect(manifests[0]?.artifactType).toBe('application/x.signature');
    await copy(project, name, 'oci-archive:back.tar:v1');
    await copy(project, 'oci-archive:back.tar:v1', 'oci:back:v1');
    const index = JSON.parse(readFileSync(join(project.dir, 'back/index.json'), 'utf8')) as {
      manifests: Descriptor[];
    };
    expect(index.manifests.map(({ digest }) => digest)).toEqual(
      [image, ...signatures].map(({ digest }) => digest),
    );
  });

  it('mounts between repositories of one registry, and writes archives to stdout', async () => {
    const { project, digest } = await builtProject();
    await copy(project, 'store:app:v0', `docker://${registry.host}/mount/a`);
    const args = ['copy', `docker://${registry.host}/mount/a`, `docker://${registry.host}/mount/b`];
    expect((await project.run(args)).stderr.match(/mounted/g)).toHaveLength(3);
    const { stdout } = await project.run(['copy', '-q', 'store:app:v0', 'oci-archive:-:v0']);
    writeFileSync(join(project.dir, 'out.tar'), stdout);
    expect(await copy(project, 'oci-archive:out.tar:v0', 'store:again')).toBe(digest);
    const [node, cli, root] = [process.execPath, resolve('dist/cli.js'), project.store];
    const piped = `cat out.tar | ${node} ${cli} --root ${root} copy -q oci-archive:-:v0 store:piped`;
    expect((await exec('/bin/sh', ['-c', piped], { cwd: project.dir })).stdout.trim()).toBe(digest);
  });
});

/** A server that takes images as Docker's daemon does. */
async function startDaemon(answer: (path: string) => { status: number; body: string }): Promise<{
  server: Server;
  loaded: Buffer[];
}> {
  const loaded: Buffer[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    if (request.url === '/_ping') return void response.end('OK');
    const { status, body } = answer(`${request.method} ${request.url}`);
    if (status === 200) {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      loaded.push(Buffer.concat(chunks));
    }
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { server, loaded };
}

describe('ocibuild build --load', () => {
  const run = async (body: string, status = 200) => {
    const project = createProject(FILES);
    const asked: string[] = [];
    const { server, loaded } = await startDaemon((path) => {
      asked.push(path);
      return { status, body };
    });
    const { port } = server.address() as AddressInfo;
    const env = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_TLS_VERIFY: '' };
    const result = await project.run(['build', '-t', 'app:v0', '--load', '.'], { env });
    server.closeAllConnections();
    server.close();
    return { project, result, loaded, asked };
  };

  it('streams an archive that skopeo reads into the daemon', async () => {
    const { project, result, loaded, asked } = await run('{"stream":"Loaded image: app:v0\\n"}\n');
    expect(result.code, result.stderr).toBe(0);
    expect(asked).toEqual(['POST /images/load?quiet=1']);
    writeFileSync(join(project.dir, 'got.tar'), loaded[0] ?? '');
    const { config } = await seen(`docker-archive:${join(project.dir, 'got.tar')}:app:v0`);
    expect(config).toMatchObject({ config: { Labels: { x: 'y' } } });
  });

  it.each([
    ['in its answer', 200, '{"errorDetail":{"message":"no space"},"error":"no space"}\n'],
    ['by a status', 500, '{"message":"no space"}\n'],
  ])('says why the daemon refused %s', async (_, status, body) => {
    const { result } = await run(body, status);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/error\[LOAD_FAILED\]: .*tcp:\/\/127\.0\.0\.1.*: no space$/m);
  });

  it('ends with 3 when there is no daemon', async () => {
    const project = createProject(FILES);
    const env = { DOCKER_HOST: `unix://${join(project.dir, 'none.sock')}` };
    const result = await project.run(['build', '--load', '.'], { env });
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(/error\[DAEMON_NOT_FOUND\]: .*none\.sock" \(it does not exist\)/);
  });
});
