import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openEngine } from '../../../../src/build/engine.ts';
import { diskUsage, prune } from '../../../../src/build/prune/prune.ts';
import { createImageIndex } from '../../../../src/cache/image-index.ts';
import type { Descriptor } from '../../../../src/image/types.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

interface Given {
  readonly byBuild: readonly string[];
  readonly byUser?: readonly string[];
}

/** A store of images that each have one layer of their own, as builds and users have named them. */
async function storeWith({ byBuild, byUser = [] }: Given): Promise<{ root: string; names: () => string[] }> {
  const root = mkdtempSync(join(tmpdir(), 'ocibuild-bases-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const options = { root, env: {}, signal: new AbortController().signal };
  await using engine = await openEngine(options);
  const put = (value: string): Descriptor => ({
    mediaType: MANIFEST,
    ...engine.content.putBytes(Buffer.from(value)),
  });
  for (const [i, name] of [...byBuild, ...byUser].entries()) {
    const layers = [put(`layer of ${name}`)];
    const top = put(JSON.stringify({ schemaVersion: 2, config: put(`{"of":"${name}"}`), layers }));
    engine.index.set(name, top, { fetchedByBuild: i < byBuild.length });
  }
  for (const name of readdirSync(engine.root.blobsDir)) utimesSync(join(engine.root.blobsDir, name), 1, 1);
  const index = createImageIndex(engine.root, engine.db);
  return { root, names: () => index.list().map(({ name }) => name) };
}

it('prune() takes base images that builds fetched, with their names, and leaves those of the user', async () => {
  const { root, names } = await storeWith({ byBuild: ['base:1'], byUser: ['app:1'] });
  const { items } = await diskUsage({ root, env: {}, filters: ['image=base:1'] });
  expect(items.map(({ reclaimable, shared }) => [reclaimable, shared])).toEqual(Array(3).fill([true, false]));
  expect(items.map(({ description }) => description)).toContain('base image base:1');
  const { removed } = await prune({ root, env: {} });
  expect(removed).toHaveLength(3);
  expect(names()).toEqual(['app:1']);
  expect(readdirSync(join(root, 'blobs/sha256'))).toHaveLength(3);
});

it('prune() drops the name of a base image with the first of its blobs', async () => {
  const { root, names } = await storeWith({ byBuild: ['base:1', 'other:1'] });
  const { items } = await diskUsage({ root, env: {}, filters: ['image=base:1'] });
  await prune({ root, env: {}, filters: [`id=${items.at(-1)?.id}`] });
  expect(names()).toEqual(['other:1']);
  expect(readdirSync(join(root, 'blobs/sha256'))).toHaveLength(5);
});

it('prune() removes nothing where it cannot read which images there are', async () => {
  const { root } = await storeWith({ byBuild: ['base:1'], byUser: ['app:1'] });
  for (const text of ['{', '{}', 'null']) {
    writeFileSync(join(root, 'index.json'), text);
    await expect(prune({ root, env: {}, all: true })).rejects.toMatchObject({ code: 'STORE_INVALID' });
  }
  expect(readdirSync(join(root, 'blobs/sha256'))).toHaveLength(6);
});
