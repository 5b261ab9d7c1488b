import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { currentIdMap, dropForeignSnapshots } from '../../../../src/cache/layers/id-map.ts';
import type { LayerRow } from '../../../../src/cache/types.ts';

it('dropForeignSnapshots() drops every snapshot when the id maps are others than before', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-id-map-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const discarded: string[] = [];
  const updated: unknown[] = [];
  const root = {
    dir,
    snapshotsDir: '/snapshots',
    discard: (path: string) => void discarded.push(path),
    tempPath: () => join(dir, 'temp'),
  };
  const rows = {
    list: () => [{ id: 'run-1', snapshot: 'run-1' }, { id: 'files-2' }] as unknown as LayerRow[],
    update(id: string, change: object) {
      updated.push([id, change]);
      return true;
    },
  };
  dropForeignSnapshots(root, rows, '0 1000 1');
  dropForeignSnapshots(root, rows, '0 1000 1');
  expect(discarded).toEqual([]);
  dropForeignSnapshots(root, rows, '0 0 4294967295');
  expect(discarded).toEqual(['/snapshots/run-1']);
  expect(updated).toEqual([['run-1', { snapshot: null }]]);
  dropForeignSnapshots(root, rows, '0 0 4294967295');
  expect(discarded).toHaveLength(1);
});

it('currentIdMap() gives users and groups when the system has them', () => {
  expect(currentIdMap()).toMatch(process.platform === 'linux' ? /^\d+ \d+ \d+[\s\S]*\n\n\d+ \d+ \d+/ : /^/);
});
