import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createImageIndex, isFetchedByBuild } from '../../../src/cache/image-index.ts';
import type { Descriptor } from '../../../src/image/types.ts';
import { digestOf, tempStore } from './temp-store.ts';

const image = (letter: string, more: Partial<Descriptor> = {}): Descriptor => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(letter),
  size: 7,
  ...more,
});
const REF = 'org.opencontainers.image.ref.name';
const FULL = 'io.containerd.image.name';

async function open() {
  const { root, db } = await tempStore();
  const read = (): { manifests: Descriptor[] } => JSON.parse(readFileSync(root.indexFile, 'utf8'));
  return { index: createImageIndex(root, db), file: root.indexFile, read };
}

describe('createImageIndex', () => {
  it('set() writes the name as typed and in full', async () => {
    const { index, read } = await open();
    index.set('app:v0', image('a', { annotations: { keep: 'me' } }));
    index.set('docker.io/library/web', image('b'));
    index.set('ghcr.io/org/tool:1', image('c'));
    expect(read().manifests.map((entry) => entry.annotations)).toEqual([
      { keep: 'me', [REF]: 'app:v0', [FULL]: 'docker.io/library/app:v0' },
      { [REF]: 'web:latest', [FULL]: 'docker.io/library/web:latest' },
      { [REF]: 'ghcr.io/org/tool:1', [FULL]: 'ghcr.io/org/tool:1' },
    ]);
    expect(index.list().map((tag) => [tag.name, tag.normalised])).toEqual([
      ['app:v0', 'docker.io/library/app:v0'],
      ['web:latest', 'docker.io/library/web:latest'],
      ['ghcr.io/org/tool:1', 'ghcr.io/org/tool:1'],
    ]);
  });

  it('set() marks what a build fetched, until somebody gives or pulls the name', async () => {
    const { index } = await open();
    const isMarked = (): boolean => isFetchedByBuild(index.resolve('base') ?? {});
    index.set('base', image('a'), { fetchedByBuild: true });
    expect(isMarked()).toBe(true);
    index.set('base', image('b'), { fetchedByBuild: true });
    expect(isMarked()).toBe(true);
    // As `tag` does: what was found under another name.
    index.set('mine', index.resolve('base') ?? image('b'));
    expect(isFetchedByBuild(index.resolve('mine') ?? {})).toBe(false);
    index.set('base', image('b'));
    expect(isMarked()).toBe(false);
    index.set('base', image('c'), { fetchedByBuild: true });
    expect(isMarked()).toBe(false);
  });

  it.each([
    'app',
    'app:latest',
    'library/app',
    'docker.io/library/app:latest',
    'index.docker.io/library/app',
  ])('resolve() finds app:latest as "%s"', async (name) => {
    const { index } = await open();
    index.set('app', image('a'));
    index.set('app:v1', image('b'));
    expect(index.resolve(name)?.digest).toBe(digestOf('a'));
    expect(index.resolve('app:v2')).toBeUndefined();
    expect(index.resolve(digestOf('b'))?.digest).toBe(digestOf('b'));
  });

  it('set() replaces its own name only and keeps what others wrote', async () => {
    const { index, file, read } = await open();
    const foreign = [
      image('1', { annotations: { [REF]: 'v0' } }),
      { ...image('2'), unknown: { deep: true } },
    ];
    writeFileSync(file, JSON.stringify({ schemaVersion: 2, manifests: foreign, annotations: { x: 'y' } }));
    index.set('app:v0', image('a'));
    index.set('app:v0', image('b'));
    expect(read()).toMatchObject({ annotations: { x: 'y' } });
    expect(read().manifests.map((entry) => entry.digest)).toEqual(['1', '2', 'b'].map(digestOf));
    expect(read().manifests[1]).toEqual(foreign[1]);
    expect(index.resolve('v0')?.digest).toBe(digestOf('1'));
    expect(index.remove('app:v0')).toBe(true);
    expect(index.remove('app:v0')).toBe(false);
    expect(read().manifests).toEqual(foreign);
  });

  it('set() refuses what is no image name', async () => {
    const { index, read } = await open();
    expect(() => index.set('App:v0', image('a'))).toThrow(
      expect.objectContaining({ code: 'REFERENCE_INVALID' }),
    );
    expect(read().manifests).toEqual([]);
  });

  it('resolve() chooses by platform where a name stands several times', async () => {
    const { index, file } = await open();
    const platform = (architecture: string) => ({ os: 'linux', architecture });
    const annotations = { [REF]: 'app:v0' };
    const entries = [
      image('a', { annotations, platform: platform('amd64') }),
      image('b', { annotations, platform: platform('arm64') }),
      image('c', { annotations, platform: platform('amd64') }),
    ];
    writeFileSync(file, JSON.stringify({ schemaVersion: 2, manifests: entries }));
    expect(index.resolve('app:v0')?.digest).toBe(digestOf('c'));
    expect(index.resolve('app:v0', platform('arm64'))?.digest).toBe(digestOf('b'));
    expect(index.resolve('app:v0', platform('amd64'))?.digest).toBe(digestOf('c'));
    expect(index.resolve('app:v0', platform('s390x'))).toBeUndefined();
  });

  it.each(['not json', '[]', '{"schemaVersion":1}'])('list() refuses %s with STORE_INVALID', async (text) => {
    const { index, file } = await open();
    writeFileSync(file, text);
    expect(() => index.list()).toThrow(expect.objectContaining({ code: 'STORE_INVALID' }));
  });
});
