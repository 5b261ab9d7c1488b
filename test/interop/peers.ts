/** Exchanges images with Docker and Buildah: `node test/interop/peers.ts --peers PATH`. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { oracleArguments } from '../conformance/oracle.ts';
import { startRegistry } from '../support/registry.ts';

const exec = promisify(execFile);
const CLI = resolve(import.meta.dirname, '../../dist/cli.js');
const COMPRESSIONS = ['gzip', 'zstd', 'uncompressed'] as const;
const FORMATS = ['oci', 'docker'] as const;
const TEXT = 'from ocibuild';

const { peers } = oracleArguments(process.argv.slice(2));
if (peers === undefined) throw new Error('Cannot exchange images: name the peers with --peers PATH');
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-interop-'));
await using registry = await startRegistry();
let failures = 0;
let made = 0;

const at = (name: string): string => join(dir, name);
const run = async (command: string, ...args: readonly string[]): Promise<string> =>
  (await exec(command, args, { cwd: dir, maxBuffer: 64 << 20 })).stdout.trim();
const ours = (...args: readonly string[]): Promise<string> =>
  run(process.execPath, '--disable-warning=ExperimentalWarning', CLI, '--root', at('store'), ...args);
const docker = (...args: readonly string[]): Promise<string> => run(peers, 'docker', ...args);
const buildah = (...args: readonly string[]): Promise<string> => {
  const store = ['--root', at('buildah'), '--runroot', at('buildah-run'), '--storage-driver', 'vfs'];
  return run(peers, 'run', 'buildah', ...store, ...args);
};

/** One line of the table; what throws was not taken. */
async function check(what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
    process.stdout.write(`ok      ${what}\n`);
  } catch (error) {
    failures++;
    const { stderr, message } = error as { stderr?: string; message: string };
    process.stdout.write(`FAILED  ${what}: ${(stderr || message).trim().split('\n').at(-1)}\n`);
  }
}

function expectText(text: string): void {
  if (text.trim() !== TEXT) throw new Error(`got ${JSON.stringify(text)}`);
}

const dockerRuns = async (image: string): Promise<void> =>
  expectText(await docker('run', '--rm', '--network', 'host', image, '/bin/busybox', 'cat', '/text'));

/** Copies an image here from where a peer put it, and looks inside. */
async function oursTakes(from: string, ...flags: readonly string[]): Promise<void> {
  const name = `taken:${made++}`;
  await ours('copy', '-q', ...flags, from, `store:${name}`);
  const bundle = at(`bundle-${made}`);
  await ours('unpack', '--platform', 'linux/amd64', name, bundle);
  expectText(readFileSync(join(bundle, 'rootfs/text'), 'utf8'));
}

async function prepare(): Promise<void> {
  mkdirSync(at('context'));
  copyFileSync(await run('which', 'busybox'), at('context/busybox'));
  writeFileSync(at('context/text'), TEXT);
  writeFileSync(at('context/Dockerfile'), 'FROM scratch\nCOPY busybox /bin/busybox\nCOPY text /\nENV A=1\n');
  for (const compression of COMPRESSIONS) {
    const output = `type=store,force-compression=true,compression=${compression}`;
    await ours('build', '-q', '-t', `app:${compression}`, '-o', output, at('context'));
  }
  await ours('build', '-q', '-t', 'many', '--platform', 'linux/amd64,linux/arm64', at('context'));
}

/** Docker and Buildah read what we write. */
async function give(): Promise<void> {
  for (const image of [...COMPRESSIONS, 'many'] as const) {
    const source = image === 'many' ? 'store:many' : `store:app:${image}`;
    for (const format of FORMATS) {
      const id = `${image}-${format}`;
      const convert = ['-q', ...(format === 'docker' ? ['--format', format] : [])];
      const remote = `${registry.host}/give/${id}:v1`;
      await ours('copy', ...convert, source, `docker://${remote}`);
      await check(`docker pull, ${id}`, async () => {
        await docker('pull', '-q', remote);
        await dockerRuns(remote);
      });
      await check(`buildah pull docker://, ${id}`, async () => {
        await buildah('pull', '-q', '--tls-verify=false', `docker://${remote}`);
      });
      const forms = image === 'many' ? ['oci-archive', 'oci'] : ['oci-archive', 'oci', 'docker-archive'];
      for (const form of forms) {
        const place = `${form}:${at(`${id}.${form}`)}`;
        await ours('copy', ...convert, source, `${place}:interop-${id}:v1`);
        await check(`buildah pull ${form}, ${id}`, async () => {
          await buildah('pull', '-q', form === 'docker-archive' ? place : `${place}:interop-${id}:v1`);
        });
        if (form === 'oci') continue;
        await check(`docker load of ${form}, ${id}`, async () => {
          const loaded = await docker('load', '-q', '-i', at(`${id}.${form}`));
          const name = loaded.replace(/^Loaded image(?: ID)?: /, '');
          await dockerRuns(name);
          await docker('rmi', '-f', name);
        });
      }
      await docker('rmi', '-f', remote).catch(() => undefined);
    }
  }
}

/** We read what Docker writes. */
async function takeFromDocker(): Promise<void> {
  const images = COMPRESSIONS.map((compression) => `interop-save:${compression}`);
  for (const compression of COMPRESSIONS) {
    const archive = at(`save-${compression}.tar`);
    await ours(
      'copy',
      '-q',
      `store:app:${compression}`,
      `docker-archive:${archive}:interop-save:${compression}`,
    );
    await docker('load', '-q', '-i', archive);
  }
  await docker('save', '-o', at('saved.tar'), ...images);
  for (const image of images) {
    await check(`docker save of several, ${image}`, async () => {
      await oursTakes(`docker-archive:${at('saved.tar')}:${image}`);
      const digest = await ours('copy', '-q', `docker-archive:${at('saved.tar')}:${image}`, 'store:again');
      const before = await ours('copy', '-q', `store:app:${image.split(':')[1]}`, 'store:before');
      if (digest !== before) throw new Error(`${digest} instead of ${before}`);
    });
  }
  mkdirSync(at('child'));
  writeFileSync(at('child/Dockerfile'), 'FROM interop-save:gzip\nCOPY Dockerfile /more\n');
  const build = ['buildx', 'build', '-q', '--network', 'host'];
  for (const attestations of ['true', 'false']) {
    const flags = [...build, `--provenance=${attestations}`];
    const about = attestations === 'true' ? ' with attestations' : '';
    const outputs = { oci: 'oci-archive', docker: 'docker-archive' } as const;
    for (const [type, form] of Object.entries(outputs)) {
      // Docker's own form has no place for them.
      if (type === 'docker' && about !== '') continue;
      await check(`docker buildx -o type=${type}${about}`, async () => {
        await docker(...flags, '-o', `type=${type},dest=${at('built.tar')},name=interop:v1`, at('child'));
        await oursTakes(`${form}:${at('built.tar')}`);
      });
    }
    await check(`docker push${about}`, async () => {
      const remote = `${registry.host}/take/docker:${attestations}`;
      await docker(...flags, '-t', remote, at('child'));
      await docker('push', '-q', remote);
      await oursTakes(`docker://${remote}`);
      await docker('save', '-o', at('pushed.tar'), remote);
      await oursTakes(`docker-archive:${at('pushed.tar')}`);
      await docker('rmi', '-f', remote);
    });
  }
  await docker('rmi', '-f', ...images);
}

/** We read what Buildah writes. */
async function takeFromBuildah(): Promise<void> {
  await buildah('pull', '-q', `docker-archive:${at('save-gzip.tar')}`);
  const image = 'localhost/interop-save:gzip';
  for (const format of ['oci', 'v2s2']) {
    for (const form of ['oci-archive', 'oci', 'docker-archive']) {
      if (form === 'docker-archive' && format === 'oci') continue;
      await check(`buildah push --format ${format} ${form}`, async () => {
        const place = `${form}:${at(`buildah-${format}.${form}`)}:interop:v1`;
        await buildah('push', '-q', '--format', format, image, place);
        await oursTakes(place);
      });
    }
  }
  for (const flags of [['--format=oci'], ['--format=v2s2'], ['--format=oci', '--compression-format=zstd']]) {
    await check(`buildah push ${flags.join(' ')} docker://`, async () => {
      const remote = `docker://${registry.host}/take/buildah:${made}`;
      await buildah('push', '-q', '--tls-verify=false', ...flags, image, remote);
      await oursTakes(remote);
    });
  }
}

try {
  await prepare();
  await give();
  await takeFromDocker();
  await takeFromBuildah();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
process.stdout.write(failures === 0 ? 'all were taken\n' : `${failures} were not taken\n`);
process.exitCode = failures === 0 ? 0 : 1;
