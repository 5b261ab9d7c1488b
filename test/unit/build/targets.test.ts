import { describe, expect, it } from 'vitest';
import { type BuiltTarget, resultOfAll } from '../../../src/build/targets.ts';
import { metadataOf } from '../../../src/cli/build/result-files.ts';
import { assembleIndex } from '../../../src/exporter/image-writer.ts';
import type { ExportSet } from '../../../src/exporter/types.ts';
import { imageOf, single, tempDir } from '../exporter/fixture.ts';

const COUNTS = { cached: 1, total: 3, startedMs: 0 };

function target(stage: string, makeSet: (dir: string) => ExportSet | undefined): BuiltTarget {
  const dir = tempDir();
  const set = makeSet(dir);
  const { config } = imageOf(dir, []);
  const names = [{ normal: `docker.io/library/${stage}:latest`, familiar: `${stage}:latest` }];
  return { target: { stage, names }, config, written: [], ...(set === undefined ? {} : { set }) };
}

describe('resultOfAll()', () => {
  it('is the manifest of a single image', () => {
    const built = target('app', (dir) => single(imageOf(dir, ['one'])));
    const image = built.set?.images[0];
    const result = resultOfAll([built], COUNTS);
    expect(result).toMatchObject({
      digest: image?.manifest.digest,
      configDigest: image?.configDescriptor.digest,
      names: ['docker.io/library/app:latest'],
      cachedSteps: 1,
    });
    expect(result.targets).toBeUndefined();
    expect(metadataOf(result)).toMatchObject({
      'containerimage.config.digest': image?.configDescriptor.digest,
      'image.name': 'docker.io/library/app:latest',
    });
  });

  it('has the provenance in its metadata, by platform where there are several', () => {
    const about = (architecture: string, variant?: string) => ({
      platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) },
      predicate: { for: architecture },
    });
    const built = target('app', (dir) => single(imageOf(dir, ['one'])));
    const keysOf = (...provenance: ReturnType<typeof about>[]): string[] =>
      Object.keys(metadataOf(resultOfAll([{ ...built, provenance }], COUNTS))).filter((key) =>
        key.startsWith('buildx.'),
      );
    expect(keysOf()).toEqual([]);
    expect(keysOf(about('arm64'))).toEqual(['buildx.build.provenance']);
    expect(keysOf(about('amd64'), about('arm', 'v7'))).toEqual([
      'buildx.build.provenance/linux/amd64',
      'buildx.build.provenance/linux/arm/v7',
    ]);
  });

  it('is the index of several platforms, which has no config', () => {
    const built = target('app', (dir) => assembleIndex([imageOf(dir, ['one']), imageOf(dir, ['two'])]));
    const result = resultOfAll([built], COUNTS);
    expect(result.digest).toBe(built.set?.top.digest);
    expect(result.configDigest).toBeUndefined();
    expect(result.platforms?.map(({ descriptor }) => descriptor.digest)).toEqual(
      built.set?.images.map(({ manifest }) => manifest.digest),
    );
    expect(Object.keys(metadataOf(result))).toEqual([
      'containerimage.descriptor',
      'containerimage.digest',
      'image.name',
    ]);
  });

  it('has a result for each of several targets', () => {
    const result = resultOfAll(
      [target('a', (dir) => single(imageOf(dir, ['one']))), target('b', () => undefined)],
      COUNTS,
    );
    expect(result.digest).toBeUndefined();
    expect(result.names).toEqual(['docker.io/library/a:latest', 'docker.io/library/b:latest']);
    expect(Object.keys(result.targets ?? {})).toEqual(['a', 'b']);
    expect(result.targets?.b?.digest).toBeUndefined();
    expect(metadataOf(result)).toMatchObject({
      a: { 'containerimage.digest': result.targets?.a?.digest },
      b: { 'image.name': 'docker.io/library/b:latest' },
    });
  });
});
