import { describe, expect, it } from 'vitest';
import { type AssembleOptions, assembleResult } from '../../../../src/build/outputs/assemble.ts';
import type { LayerBlob, LayerRows } from '../../../../src/cache/types.ts';
import type { FrontendResult } from '../../../../src/frontend/types.ts';
import type { Digest, History } from '../../../../src/image/types.ts';
import { EMPTY_LAYER } from '../../../../src/layer/layer-id.ts';

const NOW = Date.parse('2030-01-01T00:00:00Z');
const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;

/** Letters are layers; the time of one is its letter's number in days since 1970. */
const dayOf = (id: string): number => (id.charCodeAt(0) - 96) * 86_400_000;

function assemble(
  layers: readonly string[],
  history: readonly History[],
  facts: { baseHistory?: number; created?: string } & Partial<AssembleOptions> = {},
) {
  const { baseHistory = 0, created, ...options } = facts;
  const front = {
    config: {
      os: 'linux',
      architecture: 'amd64',
      ...(created === undefined ? {} : { created }),
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
      history,
    },
    baseHistory,
  } as unknown as FrontendResult;
  const blobs = layers
    .filter((id) => id !== EMPTY_LAYER)
    .map(
      (id): LayerBlob => ({
        diffId: digest(id),
        path: `/blobs/${id}`,
        descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: digest(id), size: 1 },
      }),
    );
  const rows = { get: (id: string) => ({ id, createdMs: dayOf(id) }) } as unknown as LayerRows;
  const image = assembleResult(front, {
    layers,
    blobs,
    rows,
    epochSec: undefined,
    nowMs: NOW,
    platform: { os: 'linux', architecture: 'amd64' },
    annotations: { manifest: {}, descriptor: {} },
    ...options,
  });
  const entries = (image.config.history ?? []).map((entry) =>
    [entry.created_by, entry.created?.slice(0, 10), ...(entry.empty_layer === true ? ['empty'] : [])].join(
      ' ',
    ),
  );
  return { image, entries, created: image.config.created };
}

describe('assembleResult()', () => {
  it('dates each entry by its layer, entries without one by the layer before', () => {
    const { entries, created } = assemble(
      ['a', 'b'],
      [
        { created_by: 'ENV', empty_layer: true },
        { created_by: 'COPY' },
        { created_by: 'CMD', empty_layer: true },
        { created_by: 'RUN' },
        { created_by: 'USER', empty_layer: true },
      ],
    );
    expect(entries).toEqual([
      'ENV 1970-01-02 empty',
      'COPY 1970-01-02',
      'CMD 1970-01-02 empty',
      'RUN 1970-01-03',
      'USER 1970-01-03 empty',
    ]);
    expect(created).toBe('1970-01-03T00:00:00Z');
  });

  it('marks steps that changed nothing, and gives them no layer', () => {
    const { entries, image } = assemble(
      ['a', EMPTY_LAYER, 'c'],
      [{ created_by: 'COPY' }, { created_by: 'RUN true' }, { created_by: 'RUN' }],
    );
    expect(entries).toEqual(['COPY 1970-01-02', 'RUN true 1970-01-02 empty', 'RUN 1970-01-04']);
    expect(image.config.rootfs.diff_ids).toEqual([digest('a'), digest('c')]);
    expect(image.layers.map(({ blobPath }) => blobPath)).toEqual(['/blobs/a', '/blobs/c']);
  });

  it('leaves the history of the base alone', () => {
    const base = { created_by: 'base', created: '2001-02-03T00:00:00Z' };
    const facts = { baseHistory: 1, created: '2001-02-03T00:00:00Z' };
    const { entries, created } = assemble(['z', 'b'], [base, { created_by: 'COPY' }], facts);
    expect(entries).toEqual(['base 2001-02-03', 'COPY 1970-01-03']);
    expect(created).toBe('1970-01-03T00:00:00Z');
    const none = assemble(['z'], [base, { created_by: 'ENV', empty_layer: true }], facts);
    expect(none.entries).toEqual(['base 2001-02-03', 'ENV 2001-02-03 empty']);
    expect(none.created).toBe('2001-02-03T00:00:00Z');
  });

  it('takes the time of the newest entry of the base where no layer is new, not the clock', () => {
    const base = [{ created_by: 'old', created: '2001-02-03T00:00:00Z' }, { created_by: 'newer' }];
    const facts = { baseHistory: 2, created: '2002-02-03T00:00:00Z' };
    expect(assemble(['z'], base, facts).created).toBe('2001-02-03T00:00:00Z');
    expect(assemble(['z'], [], { created: '2002-02-03T00:00:00Z' }).created).toBe('2002-02-03T00:00:00Z');
    // What stands before the first new layer is as new as that.
    const more = [...base, { created_by: 'ENV', empty_layer: true }, { created_by: 'COPY' }];
    expect(assemble(['y', 'z', 'b'], more, facts).entries.slice(2)).toEqual([
      'ENV 1970-01-03 empty',
      'COPY 1970-01-03',
    ]);
  });

  it('uses the clock only where there is no layer at all', () => {
    const { entries, created } = assemble([], [{ created_by: 'ENV', empty_layer: true }]);
    expect(entries).toEqual(['ENV 2030-01-01 empty']);
    expect(created).toBe('2030-01-01T00:00:00Z');
  });

  it('gives all new entries the time of SOURCE_DATE_EPOCH', () => {
    const base = { created_by: 'base', created: '2001-02-03T00:00:00Z' };
    const { entries, created } = assemble(['z', 'b'], [base, { created_by: 'COPY' }], {
      baseHistory: 1,
      epochSec: 0,
    });
    expect(entries).toEqual(['base 2001-02-03', 'COPY 1970-01-01']);
    expect(created).toBe('1970-01-01T00:00:00Z');
  });

  it('puts annotations into the manifest and its descriptor', () => {
    const annotations = { manifest: { k: 'v' }, descriptor: { d: 'w' } };
    const { image } = assemble(['a'], [{ created_by: 'COPY' }], { annotations });
    expect(JSON.parse(image.manifestBytes.toString())).toMatchObject({ annotations: { k: 'v' } });
    expect(image.manifest.annotations).toEqual({ d: 'w' });
  });
});
