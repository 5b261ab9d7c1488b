import { describe, expect, test } from 'vitest';
import { packFiles } from '../../conformance/context.ts';
import { outcomeOf } from '../../conformance/outcome.ts';
import type { ContextFile } from '../../conformance/types.ts';
import { type FlatImage, flattenTars } from '../../support/flatten.ts';

const baseLayer: ContextFile[] = [
  { path: 'bin/busybox', content: 'machine code' },
  { path: 'd/a', content: 'a' },
  { path: 'd/sub/b', content: 'b' },
  { path: 'kept', content: 'k' },
];

async function image(layers: ContextFile[][], diffIds: string[], created: string[]): Promise<FlatImage> {
  const tars = await Promise.all(layers.map((layer) => packFiles(layer)));
  const history = created.map((created_by) => ({ created: '2020-01-01T00:00:00Z', created_by }));
  const config = { os: 'linux', created: 'now', config: { User: 'x', Volumes: null }, history };
  return { manifestDigest: 'sha256:0', config, diffIds, ...(await flattenTars(tars)) };
}

describe('outcomeOf()', () => {
  test('reports only what was added, changed and removed when the image stands on the base', async () => {
    const base = await image([baseLayer], ['1'], ['ADD']);
    const upper = [{ path: '.wh.d' }, { path: 'kept', content: 'changed' }, { path: 'new', content: 'n' }];
    const outcome = outcomeOf(await image([baseLayer, upper], ['1', '2'], ['ADD', 'RUN']), base);
    expect(outcome.fs.map(({ path, text }) => `${path} ${text}`)).toEqual(['/kept changed', '/new n']);
    expect(outcome.removed).toEqual(['/d']);
    expect(outcome.history).toEqual([{ created_by: 'RUN' }]);
    expect(outcome.layers).toBe(1);
  });

  test('leaves out times and null fields when it reports the config', async () => {
    const base = await image([baseLayer], ['1'], []);
    expect(outcomeOf(base, base).config).toEqual({ User: 'x', os: 'linux' });
  });

  test('reports every path, but no bytes of busybox, when the image does not stand on the base', async () => {
    const base = await image([baseLayer], ['1'], ['ADD']);
    const other = await image([[{ path: 'sh', content: 'machine code' }]], ['9'], ['COPY']);
    const outcome = outcomeOf(other, base);
    expect(outcome.fs).toMatchObject([{ path: '/sh', size: 0, sha256: 'busybox' }]);
    expect(outcome).toMatchObject({ removed: [], layers: 1, history: [{ created_by: 'COPY' }] });
  });
});
