import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeShellImage } from '../support/base-image.ts';
import { type CheckedImage, checkedArchive, checkedLayout, filesOf } from '../support/images.ts';
import { createProject, type Project } from './cli-support.ts';

const DOCKERFILE = `FROM base AS build
COPY data /data
RUN echo made >/made && chmod 700 /opt
FROM base
COPY data /data
COPY --from=build /made /copied
RUN echo more >/more && rm /opt/tool
`;

const work = mkdtempSync(join(tmpdir(), 'ocibuild-damage-'));
beforeAll(async () => {
  await makeShellImage(join(work, 'layout'), 'v1');
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const flags = ['--build-context', `base=oci-layout://${join(work, 'layout')}:v1`];

/** A store with a finished build in it. */
async function createBuilt(): Promise<{ project: Project; image: CheckedImage }> {
  const project = createProject({ Dockerfile: DOCKERFILE, 'data/x': 'x\n', 'data/deep/y': 'y\n' });
  writeFileSync(
    join(project.dir, 'data/noise'),
    Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) >> 5),
  );
  const { code, stderr } = await project.run(['-q', '-t', 'app', ...flags, '.']);
  expect(code, stderr).toBe(0);
  return { project, image: await checkedLayout(project.store, 'app:latest') };
}

/** Builds to an archive, then with a step on top, and compares both with the image before the damage. */
async function expectHealed({ project, image }: { project: Project; image: CheckedImage }): Promise<void> {
  const dest = join(project.store, '../out.tar');
  const exported = await project.run(['-t', 'app', '-o', `type=oci,dest=${dest}`, ...flags, '.']);
  expect(exported.code, exported.stderr).toBe(0);
  expect(filesOf(await checkedArchive(dest))).toEqual(filesOf(image));
  const stored = await project.run(['-q', '-t', 'app', ...flags, '.']);
  expect(stored.code, stored.stderr).toBe(0);
  expect(filesOf(await checkedLayout(project.store, 'app:latest'))).toEqual(filesOf(image));
  project.write({ Dockerfile: `${DOCKERFILE}RUN cat /data/x /made /copied /more >/all 2>/dev/null; true\n` });
  const grown = await project.run(['-q', '-t', 'grown', ...flags, '.']);
  expect(grown.code, grown.stderr).toBe(0);
  const { files } = await checkedLayout(project.store, 'grown:latest');
  expect(files.get('/all')?.text).toBe('x\nmade\nmore\n');
  const { '/all': _, ...rest } = Object.fromEntries(files);
  expect(rest).toEqual(filesOf(image));
  await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
}

function flipByte(file: string): void {
  const fd = openSync(file, 'r+');
  const at = fstatSync(fd).size >> 1;
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 0x55), 0, 1, at);
  closeSync(fd);
}

const blobOf = ({ store }: Project, digest: string): string => join(store, 'blobs/sha256', digest.slice(7));

function filesIn(project: Project, folder: string): string[] {
  const dir = join(project.store, folder);
  return readdirSync(dir).map((name) => join(dir, name));
}

describe('a build on a damaged store', () => {
  it.each([0, 2, 4])('gives the right image when layer blob %i has a flipped byte', async (layer) => {
    const built = await createBuilt();
    flipByte(blobOf(built.project, built.image.layers[layer]?.digest ?? ''));
    await expectHealed(built);
  });

  it.each<[string, (project: Project, image: CheckedImage) => void]>([
    [
      'a layer blob is short',
      (project, { layers }) => truncateSync(blobOf(project, layers[3]?.digest ?? ''), 50),
    ],
    [
      'all layer blobs are gone',
      (project, { layers }) => {
        for (const { digest } of layers) rmSync(blobOf(project, digest));
      },
    ],
    [
      'manifest and config are gone',
      (project, { manifestDigest, config, layers }) => {
        const keep = new Set(layers.map(({ digest }) => digest.slice(7)));
        expect(config).toBeDefined();
        expect(manifestDigest).toMatch(/^sha256:/);
        for (const file of filesIn(project, 'blobs/sha256')) if (!keep.has(file.slice(-64))) rmSync(file);
      },
    ],
    [
      'all snapshots are gone',
      (project) => {
        for (const dir of filesIn(project, 'snapshots')) rmSync(dir, { recursive: true });
      },
    ],
    [
      'snapshots have lost their root',
      (project) => {
        for (const dir of filesIn(project, 'snapshots')) rmSync(join(dir, 'fs'), { recursive: true });
      },
    ],
    [
      'blobs and snapshots are gone',
      (project) => {
        for (const file of filesIn(project, 'snapshots')) rmSync(file, { recursive: true });
        for (const file of filesIn(project, 'blobs/sha256')) rmSync(file);
      },
    ],
    [
      'trees are short',
      (project) => {
        for (const file of filesIn(project, 'trees')) truncateSync(file, statSync(file).size >> 1);
      },
    ],
    [
      'trees are empty',
      (project) => {
        for (const file of filesIn(project, 'trees')) truncateSync(file, 0);
      },
    ],
    [
      'cache.db is short',
      (project) => {
        const file = join(project.store, 'cache.db');
        truncateSync(file, statSync(file).size >> 1);
      },
    ],
    ['cache.db is empty', (project) => truncateSync(join(project.store, 'cache.db'), 0)],
    [
      'cache.db is noise',
      (project) => writeFileSync(join(project.store, 'cache.db'), 'no database '.repeat(999)),
    ],
  ])('gives the right image when %s', async (_what, damage) => {
    const built = await createBuilt();
    damage(built.project, built.image);
    await expectHealed(built);
  });

  it('says why it begins anew when the index of the store is damaged', async () => {
    const { project } = await createBuilt();
    writeFileSync(join(project.store, 'cache.db'), 'no database '.repeat(999));
    const { code, stderr } = await project.run(['-o', 'type=cacheonly', ...flags, '.']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('was damaged and starts empty')]);
  });
});
