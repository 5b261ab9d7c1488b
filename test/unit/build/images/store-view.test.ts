import { chownSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listContainers } from '../../../../src/build/containers/records.ts';
import { openEngine } from '../../../../src/build/engine.ts';
import { listBuilds } from '../../../../src/build/history/past-builds.ts';
import { copyBetween } from '../../../../src/build/images/copy-between.ts';
import { tagImage, untagImages } from '../../../../src/build/images/image-commands.ts';
import { inspectImage, listImages } from '../../../../src/build/images/store-commands.ts';
import { listCacheMounts, removeCacheMounts } from '../../../../src/build/prune/mounts.ts';
import { diskUsage, prune } from '../../../../src/build/prune/prune.ts';
import { MEDIA_TYPE } from '../../../../src/image/types.ts';
import { tempDir } from '../../cache/temp-store.ts';

const options = { env: {}, signal: new AbortController().signal };
/** A normal user's commands would look from inside of a user namespace. */
const isRoot = process.geteuid?.() === 0;

/** A store of another user, with one image. */
async function closedStore(): Promise<string> {
  const root = join(tempDir(), 'store');
  {
    await using engine = await openEngine({ root, ...options });
    const config = engine.content.putBytes(
      Buffer.from(
        JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } }),
      ),
    );
    const manifest = {
      ...{ schemaVersion: 2, mediaType: MEDIA_TYPE.manifest, layers: [] },
      config: { mediaType: MEDIA_TYPE.config, ...config },
    };
    const descriptor = engine.content.putBytes(Buffer.from(JSON.stringify(manifest)));
    engine.index.set('app:v1', { mediaType: MEDIA_TYPE.manifest, ...descriptor });
    mkdirSync(join(root, 'mounts', 'm1'));
    engine.db.run(
      "INSERT INTO cache_mounts(name, id, base, created_ms, used_ms) VALUES('m1', 'npm', '', 1, 1)",
    );
  }
  chownSync(root, 12345, 12345);
  return root;
}

/** Changes with every write. */
const stateOf = (root: string): string[] =>
  [root, ...readdirSync(root, { recursive: true }).map((name) => join(root, String(name)))].map(
    (path) => `${path} ${statSync(path).ctimeMs}`,
  );

describe('commands that look at a store', () => {
  it.runIf(isRoot)('read one that is not to be written, and write nothing', async () => {
    const root = await closedStore();
    const before = stateOf(root);
    expect(await listImages(root, options)).toMatchObject([{ name: 'app:v1', platform: 'linux/amd64' }]);
    expect(await inspectImage(root, 'app:v1', options)).toMatchObject({ config: { os: 'linux' } });
    expect(await listCacheMounts(root, options)).toMatchObject([{ id: 'npm', users: 0 }]);
    const { items } = await diskUsage({ root, env: {} });
    expect(items).toContainEqual(expect.objectContaining({ type: 'image', description: 'app:v1' }));
    const { removed } = await prune({ root, env: {}, dryRun: true });
    expect(removed).toContainEqual(expect.objectContaining({ cacheMount: 'npm' }));
    expect(stateOf(root)).toEqual(before);
    const dest = join(tempDir(), 'layout');
    const between = { from: 'store:app:v1', to: `oci:${dest}:v1` };
    await copyBetween(root, between, { ...options, cwd: '/' });
    expect(existsSync(join(dest, 'index.json'))).toBe(true);
    expect(stateOf(root)).toEqual(before);
  });

  it.runIf(isRoot)('take one that is not there for an empty one, and make none', async () => {
    const root = join(tempDir(), 'none', 'store');
    expect(await listImages(root, options)).toEqual([]);
    expect(await listCacheMounts(root, options)).toEqual([]);
    expect(await diskUsage({ root, env: {} })).toMatchObject({ items: [], totalBytes: 0 });
    for (const dryRun of [true, false])
      expect(await prune({ root, env: {}, dryRun })).toEqual({ removed: [], freedBytes: 0 });
    await expect(inspectImage(root, 'app', options)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    await expect(tagImage(root, { name: 'app', as: 'b' }, options)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
    await untagImages(root, ['app'], { ...options, force: true });
    expect(await removeCacheMounts(root, 'all', options)).toEqual([]);
    expect(existsSync(join(root, '..'))).toBe(false);
  });

  it('leave an empty directory empty, and refuse one that is no store', async () => {
    const dir = tempDir();
    expect(await listImages(dir, options)).toEqual([]);
    expect(readdirSync(dir)).toEqual([]);
    writeFileSync(join(dir, 'thesis.txt'), '');
    await expect(listImages(dir, options)).rejects.toMatchObject({ code: 'STORE_INVALID' });
    for (const root of [join(dir, 'thesis.txt'), join(dir, 'thesis.txt/store')]) {
      await expect(listImages(root, options)).rejects.toMatchObject({ code: 'STORE_INVALID' });
      expect(() => listContainers(root)).toThrow(expect.objectContaining({ code: 'STORE_INVALID' }));
      expect(() => listBuilds(root)).toThrow(expect.objectContaining({ code: 'STORE_INVALID' }));
    }
  });
});
