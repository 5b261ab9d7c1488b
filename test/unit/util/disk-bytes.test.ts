import { linkSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { diskBytes } from '../../../src/util/disk-bytes.ts';

it('diskBytes() of two trees is what both take when they have a file in common', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-bytes-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  for (const name of ['a', 'b']) mkdirSync(join(dir, name));
  writeFileSync(join(dir, 'a/file'), Buffer.alloc(100_000, 1));
  const alone = await diskBytes(join(dir, 'a'));
  linkSync(join(dir, 'a/file'), join(dir, 'a/twin'));
  expect(await diskBytes(join(dir, 'a'))).toBe(alone);
  linkSync(join(dir, 'a/file'), join(dir, 'b/file'));
  const both = (await diskBytes(join(dir, 'a'))) + (await diskBytes(join(dir, 'b')));
  const directory = statSync(join(dir, 'b')).blocks * 512;
  expect(Math.abs(both - alone - directory)).toBeLessThan(4);
  expect(await diskBytes(join(dir, 'nothing'))).toBe(0);
});
