import { describe, expect, it } from 'vitest';
import { diffConfigs } from '../../../src/image/diff-config.ts';
import type { ImageConfig } from '../../../src/image/types.ts';

const config: ImageConfig = {
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [] },
  config: { Env: ['A=1'], Labels: { x: 'y' } },
};

describe('diffConfigs()', () => {
  it('names each field that differs, and leaves the layers to others', () => {
    const after: ImageConfig = {
      ...config,
      rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
      config: { Env: ['A=2', 'B=1'], Volumes: {} },
    };
    expect(diffConfigs(config, after)).toEqual([
      { field: 'config.Env[0]', before: '"A=1"', after: '"A=2"' },
      { field: 'config.Labels.x', before: '"y"', after: '-' },
      { field: 'config.Env[1]', before: '-', after: '"B=1"' },
      { field: 'config.Volumes', before: '-', after: '{}' },
    ]);
    expect(diffConfigs(config, config)).toEqual([]);
  });
});
