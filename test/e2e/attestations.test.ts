import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Descriptor, Index, Manifest } from '../../src/image/types.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { validateImage } from '../support/validate-image.ts';
import { createProject, type Project } from './cli-support.ts';

const FILES = {
  Dockerfile:
    'FROM scratch\nARG TOKEN\nCOPY rootfs /\nFROM scratch AS app\nARG TARGETARCH\nCOPY --from=0 / /\nCOPY rootfs/etc/os-release /of-$TARGETARCH\n',
  'rootfs/etc/os-release': 'ID=debian\nVERSION_ID=12\nPRETTY_NAME="Debian 12"\n',
  'rootfs/var/lib/dpkg/status':
    'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n\n',
  'rootfs/srv/node_modules/a/package.json': '{"name":"a","version":"1.0.0","license":"MIT"}',
};
const ALL = ['--provenance=mode=max', '--sbom', '--attest', 'type=sbom,format=cyclonedx'];
const TYPES = ['https://spdx.dev/Document', 'https://cyclonedx.org/bom', 'https://slsa.dev/provenance/v1'];

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
});

interface Statement {
  readonly predicateType: string;
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicate: Record<string, unknown>;
}

async function build(project: Project, ...args: string[]): Promise<string> {
  const { code, stderr } = await project.run([...args, '.']);
  expect(code, stderr).toBe(0);
  return stderr;
}

async function output(project: Project, ...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await project.run(args);
  expect(code, stderr).toBe(0);
  return stdout.toString();
}

const skopeo = (...args: string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8' });

function readJson<T>(layout: string, { digest }: Pick<Descriptor, 'digest'>): T {
  return JSON.parse(readFileSync(join(layout, 'blobs', ...digest.split(':')), 'utf8')) as T;
}

/** Images of an index, and what is said about each. */
function readAttested(layout: string, index: Index) {
  const of = (entry: Descriptor): string | undefined => entry.annotations?.['vnd.docker.reference.digest'];
  const images = index.manifests.filter((entry) => of(entry) === undefined);
  return images.map((image) => {
    const [entry] = index.manifests.filter((each) => of(each) === image.digest);
    const manifest = entry === undefined ? undefined : readJson<Manifest>(layout, entry);
    return {
      image,
      entry,
      manifest,
      statements: (manifest?.layers ?? []).map((layer) => readJson<Statement>(layout, layer)),
    };
  });
}

describe('attestations', () => {
  it('stand in the store beside the image, which everything else still finds', async () => {
    const project = createProject(FILES);
    const metadata = join(project.store, '../metadata.json');
    await build(
      project,
      ...ALL,
      '--build-arg',
      'TOKEN=https://me:hidden@h/',
      '-t',
      'me/app:v1',
      '--metadata-file',
      metadata,
    );
    const index = JSON.parse(await output(project, 'inspect', '--raw', 'me/app:v1')) as Index;
    expect(await validateImage(project.store, 'me/app:v1', { signal: AbortSignal.timeout(100_000) })).toEqual(
      [],
    );
    expect(index.manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'unknown']);
    const [first] = readAttested(project.store, index);
    expect(first?.entry?.annotations?.['vnd.docker.reference.type']).toBe('attestation-manifest');
    expect(first?.manifest).toMatchObject({
      artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', data: 'e30=' },
      subject: { digest: first?.image.digest, size: first?.image.size },
    });
    expect(first?.manifest?.layers.map(({ annotations }) => annotations)).toEqual(
      TYPES.map((type) => ({ 'in-toto.io/predicate-type': type })),
    );
    const [spdx, cyclonedx, provenance] = first?.statements ?? [];
    for (const statement of first?.statements ?? []) {
      expect(statement.subject).toEqual([
        {
          name: 'pkg:docker/me/app@v1?platform=linux%2Famd64',
          digest: { sha256: first?.image.digest.slice('sha256:'.length) },
        },
      ]);
    }
    const purls = ['pkg:deb/debian/libc6@2.36?arch=amd64&distro=debian-12', 'pkg:npm/a@1.0.0'];
    for (const purl of purls) expect(JSON.stringify(spdx?.predicate)).toContain(purl);
    expect(
      ((cyclonedx?.predicate.components ?? []) as { purl?: string }[])
        .flatMap(({ purl }) => purl ?? [])
        .sort(),
    ).toEqual(purls);
    const text = JSON.stringify(provenance?.predicate);
    expect(text).toContain('"build-arg:TOKEN":"https://***@h/"');
    expect(text).not.toContain('hidden');
    const told = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, unknown>;
    expect(told['buildx.build.provenance']).toMatchObject({ buildDefinition: { resolvedDependencies: [] } });

    expect(await output(project, 'images')).toMatch(/^me\/app:v1\s+sha256:\w+\s+linux\/amd64 /m);
    expect(await output(project, 'history', 'me/app:v1')).toContain('COPY');
    project.write({ Dockerfile: 'FROM me/app:v1\nCOPY Dockerfile /\n' });
    await build(project, '-t', 'next', '--pull=never');
    await output(project, 'rmi', 'me/app:v1');
  });

  it('make another index for each run when they tell of it, and the same one when they tell of the image', async () => {
    const project = createProject(FILES);
    const digestOf = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await project.run(['-q', '-t', 'app', ...args, '.']);
      expect(code, stderr).toBe(0);
      return stdout.toString();
    };
    const imageOf = async (): Promise<unknown> => {
      const index = JSON.parse(await output(project, 'inspect', '--raw', 'app')) as Index;
      return index.manifests[0]?.digest;
    };
    const once = await digestOf('--provenance=mode=min');
    const image = await imageOf();
    expect(await digestOf('--provenance=mode=min')).not.toBe(once);
    expect(await imageOf()).toBe(image);
    const sbom = await digestOf('--sbom');
    expect(await digestOf('--sbom')).toBe(sbom);
    expect(await digestOf('--sbom', '--explain')).toBe(sbom);
    expect(await imageOf()).toBe(image);
  });

  it('travel with an image that is pushed, pulled whole and copied', async () => {
    const project = createProject(FILES);
    const name = `${registry.host}/team/app:v1`;
    await build(project, '--provenance=mode=min', '--sbom', '-t', name, '--push');
    const raw = skopeo('inspect', '--raw', '--tls-verify=false', `docker://${name}`);
    const second = join(project.store, '../second');
    const pulled = await project.run(['pull', '--all-platforms', name], { store: second });
    expect(pulled.code, pulled.stderr).toBe(0);
    const [attested] = readAttested(second, JSON.parse(raw) as Index);
    expect(attested?.statements.map(({ predicateType }) => predicateType)).toEqual([TYPES[0], TYPES[2]]);
    const layout = join(project.store, '../layout');
    await output(project, 'copy', `docker://${name}`, `oci:${layout}:v1`);
    skopeo('copy', '--all', `oci:${layout}:v1`, `dir:${join(project.store, '../dir')}`);
    expect(readFileSync(join(project.store, '../dir/manifest.json'), 'utf8')).toBe(raw);
    // A registry without a list of referrers has it under a tag.
    const tags = skopeo('list-tags', '--tls-verify=false', `docker://${registry.host}/team/app`);
    expect(tags).toContain(attested?.image.digest.replace(':', '-'));
  });

  it('follow the images of all platforms, as images for no platform where that is asked for', async () => {
    const project = createProject(FILES);
    const layout = join(project.store, '../layout');
    const flags =
      '--provenance=mode=min,version=v0.2,builder-id=https://b/1 --platform linux/amd64,linux/arm64';
    const form = `type=oci,tar=false,dest=${layout},oci-artifact=false,oci-mediatypes=false`;
    await build(project, ...flags.split(' '), '-t', 'app', '-o', form);
    const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as Index;
    const index = readJson<Index>(layout, manifests[0] as Descriptor);
    expect(index.manifests.map(({ platform }) => platform?.architecture)).toEqual([
      ...['amd64', 'arm64', 'unknown', 'unknown'],
    ]);
    const attested = readAttested(layout, index);
    for (const { manifest, statements } of attested) {
      expect(manifest).not.toHaveProperty('artifactType');
      expect(readJson(layout, manifest?.config as Descriptor)).toEqual({
        ...{ architecture: 'unknown', os: 'unknown', config: {} },
        rootfs: { type: 'layers', diff_ids: [manifest?.layers[0]?.digest] },
      });
      expect(statements[0]?.predicate).toMatchObject({ builder: { id: 'https://b/1' } });
    }
    expect(attested.map(({ statements }) => statements[0]?.subject[0]?.name)).toEqual([
      'pkg:docker/app@latest?platform=linux%2Famd64',
      'pkg:docker/app@latest?platform=linux%2Farm64',
    ]);
  });

  it('lie beside the files of an image', async () => {
    const project = createProject(FILES);
    const out = (name: string): string => join(project.store, '..', name);
    await build(
      project,
      ...ALL,
      '-o',
      out('one'),
      '-o',
      `type=tar,dest=${out('one.tar')},attestation-prefix=x-`,
    );
    const names = ['provenance.json', 'sbom.cdx.json', 'sbom.spdx.json'];
    expect(
      readdirSync(out('one'))
        .filter((name) => name.endsWith('.json'))
        .sort(),
    ).toEqual(names);
    const { subject, predicateType } = JSON.parse(
      readFileSync(join(out('one'), 'provenance.json'), 'utf8'),
    ) as Statement;
    expect(predicateType).toBe(TYPES[2]);
    const sums = execFileSync(
      'sha256sum',
      subject.map(({ name }) => name),
      { cwd: out('one'), encoding: 'utf8' },
    );
    expect(subject.map(({ name, digest }) => `${digest.sha256}  ${name}\n`).join('')).toBe(sums);
    expect(subject).toHaveLength(4);
    const listed = execFileSync('tar', ['-tf', out('one.tar')], { encoding: 'utf8' }).split('\n');
    expect(listed.filter((name) => name.startsWith('x-'))).toEqual(names.map((name) => `x-${name}`));

    const both = ['--sbom', '--platform', 'linux/amd64,linux/arm64', '--target', 'app'];
    await build(project, ...both, '-o', out('split'));
    expect(existsSync(join(out('split'), 'linux_arm64/sbom.spdx.json'))).toBe(true);
    project.write({ Dockerfile: 'FROM scratch AS app\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n' });
    await build(project, ...both, '-o', `type=local,dest=${out('joined')},platform-split=false`);
    expect(readdirSync(out('joined')).sort()).toEqual([
      ...['amd64', 'arm64', 'sbom.spdx.linux_amd64.json', 'sbom.spdx.linux_arm64.json'],
    ]);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('are left out of Docker archives with a warning, and never take the name of a file', async () => {
    const project = createProject({
      ...FILES,
      Dockerfile: 'FROM scratch\nCOPY Dockerfile /provenance.json\n',
    });
    const archive = join(project.store, '../docker.tar');
    const said = await build(project, '--provenance', '-t', 'app', '-o', `type=docker,dest=${archive}`);
    expect(said).toContain('Docker archives hold no attestations');
    expect(execFileSync('tar', ['-xOf', archive, 'index.json'], { encoding: 'utf8' })).not.toContain(
      'unknown',
    );
    mkdirSync(join(project.dir, 'out'));
    const clash = await project.run(['--provenance', '-o', 'out', '.']);
    expect(clash.code).toBe(1);
    expect(clash.stderr).toContain(
      'error[EXPORT_TARGET_INVALID]: Cannot write the attestation "provenance.json"',
    );
  });
});
