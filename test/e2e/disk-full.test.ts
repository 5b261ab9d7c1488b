import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Descriptor } from '../../src/image/types.ts';
import { startCountingProxy } from '../support/counting-proxy.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { type CliResult, createProject, mountTmpfs } from './cli-support.ts';

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-full-'));
const MB = 1_000_000;
let registry: TestRegistry;
let small = '';
let large = '';

beforeAll(async () => {
  registry = await startRegistry();
  // No compression makes them smaller.
  const layers = [{ one: randomBytes(1000) }, { two: randomBytes(5 * MB) }];
  const { digest } = await makeLayout(join(dir, 'layout'), 'v1', { layers });
  const manifest = JSON.parse(readFileSync(blobIn(join(dir, 'layout'), digest), 'utf8'));
  [small, large] = manifest.layers.map((layer: Descriptor) => layer.digest);
  await registry.push(join(dir, 'layout'), 'v1', 'team/app:v1');
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const blobIn = (layout: string, digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));

const grow = (disk: string): Buffer => execFileSync('mount', ['-o', 'remount,size=40m', disk]);

function expectFull({ code, stderr }: CliResult): void {
  expect(stderr).toMatch(/^error\[DISK_FULL\]: Cannot .*no space left on the device\n/m);
  expect(stderr).toMatch(/^hint: /m);
  expect(code).toBe(3);
}

describe('on a full disk', () => {
  it('pull keeps the layers that are there, and fetches only the rest once there is room', async () => {
    await using proxy = await startCountingProxy(registry.host);
    const project = createProject({});
    const disk = mountTmpfs('size=4m');
    const options = { store: join(disk, 'store') };
    // Else the large one may have filled the disk before the small one is there.
    proxy.hold(new RegExp(large), () => existsSync(blobIn(options.store, small)));
    expectFull(await project.run(['pull', '-q', `${proxy.host}/team/app:v1`], options));
    expect(readdirSync(join(disk, 'store/tmp'))).toEqual([]);
    grow(disk);
    proxy.take();
    expect(await project.run(['pull', '-q', `${proxy.host}/team/app:v1`], options)).toMatchObject({
      code: 0,
    });
    expect(proxy.take().filter((line) => line.startsWith('GET team/app/blobs/'))).toHaveLength(1);
  });

  it('a build from a base that does not fit goes on once there is room', async () => {
    const project = createProject({
      Dockerfile: `FROM ${registry.host}/team/app:v1\nCOPY busybox /bin/sh\nRUN echo hi >/hi\n`,
    });
    const disk = mountTmpfs('size=9m');
    const options = { store: join(disk, 'store') };
    expectFull(await project.run(['build', '-q', '.'], options));
    expect(readdirSync(join(disk, 'store/tmp'))).toEqual([]);
    grow(disk);
    expect(await project.run(['build', '-q', '.'], options)).toMatchObject({ code: 0 });
  });

  it('copy leaves no part of an archive or a layout, and the store keeps what it has', async () => {
    const project = createProject({});
    const disk = mountTmpfs('size=4m');
    const from = `oci:${dir}/layout:v1`;
    for (const to of ['oci-archive', 'docker-archive', 'oci']) {
      expectFull(await project.run(['copy', '-q', from, `${to}:${disk}/out`]));
      expect(readdirSync(disk)).toEqual([]);
    }
    await project.run(['copy', '-q', from, 'oci-archive:app.tar']);
    const options = { store: join(disk, 'store') };
    expectFull(await project.run(['copy', '-q', 'oci-archive:app.tar', 'store:app'], options));
    expect(readdirSync(join(disk, 'store/tmp'))).toEqual([]);
    grow(disk);
    const again = await project.run(['copy', 'oci-archive:app.tar', 'store:app'], options);
    expect(again).toMatchObject({ code: 0, stderr: expect.stringMatching(/already there/) });
  });

  it('unpack leaves no bundle, and a compressed archive nothing in TMPDIR', async () => {
    const project = createProject({});
    const disk = mountTmpfs('size=4m');
    await project.run(['copy', '-q', `oci:${dir}/layout:v1`, 'store:app']);
    expectFull(await project.run(['unpack', 'app', join(disk, 'bundle')]));
    expect(readdirSync(disk)).toEqual([]);
    await project.run(['copy', '-q', 'store:app', 'oci-archive:app.tar']);
    writeFileSync(
      join(project.dir, 'app.tgz'),
      gzipSync(readFileSync(join(project.dir, 'app.tar')), { level: 1 }),
    );
    const env = { TMPDIR: disk };
    expectFull(await project.run(['copy', '-q', 'oci-archive:app.tgz', 'store:again'], { env }));
    expect(readdirSync(disk)).toEqual([]);
    mkdirSync(join(project.dir, 'temp'));
    const roomy = { env: { TMPDIR: join(project.dir, 'temp') } };
    expect(await project.run(['copy', '-q', 'oci-archive:app.tgz', 'store:again'], roomy)).toMatchObject({
      code: 0,
    });
  });
});
