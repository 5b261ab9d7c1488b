import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createLocalExporter } from '../../../src/remotecache/local-cache.ts';
import type { CacheConfig, CacheWriteOptions } from '../../../src/remotecache/types.ts';
import { beginWriting } from '../../../src/transfer/layout-writers.ts';
import { noSignal as signal, tempDir } from '../exporter/fixture.ts';

const config: CacheConfig = { salt: 's', layers: [], records: [], mounts: [] };

it('createLocalExporter() deletes what is unused with reset, unless another one writes', async () => {
  const dir = join(tempDir(), 'cache');
  const stray = join(dir, 'blobs/sha256', '0'.repeat(64));
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(stray, 'of another cache');
  // Of a process that was killed: a process number above every one that Linux gives.
  const left = join(dir, `.writing.${2 ** 22 + 1}-1-aaaaaaaaaa`);
  writeFileSync(left, '');
  const { write } = createLocalExporter({ dest: dir, reset: true }, { cwd: '/' });
  const options = { signal, onProgress() {} } as unknown as CacheWriteOptions;
  const end = beginWriting(dir);
  await write(config, options);
  expect(existsSync(stray)).toBe(true);
  end();
  await write(config, options);
  expect([existsSync(stray), existsSync(left)]).toEqual([false, false]);
});
