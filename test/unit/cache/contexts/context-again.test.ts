import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { scanContext } from '../../../../src/cache/contexts/context-scan.ts';
import type { ContextScan } from '../../../../src/cache/contexts/context-types.ts';
import { createIgnoreMatcher } from '../../../../src/util/ignore-matcher.ts';

function context(files: readonly string[]): { dir: string; write(path: string, text?: string): void } {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-again-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const write = (path: string, text = path): void => {
    mkdirSync(join(dir, dirname(path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  for (const path of files) write(path);
  return { dir, write };
}

const { signal } = new AbortController();

async function contents(scan: ContextScan): Promise<Record<string, string | undefined>> {
  await scan.digestAll(scan.entries, { signal });
  return Object.fromEntries(scan.entries.map(({ path, type, digest }) => [path, digest ?? type]));
}

describe('ContextScan.again()', () => {
  it('gives what a scan of everything gives when the changed paths are named', async () => {
    const { dir, write } = context(['a', 'd/b', 'd/c', 'd!/x', 'd/e/f', 'g/h', 'ign/i', 'ign/keep']);
    const options = { dir, select: [''], ignore: createIgnoreMatcher(['ign', '!ign/keep']) };
    const first = scanContext(options);
    await contents(first);
    write('d/b', 'changed');
    write('d/new/deep', 'new');
    rmSync(join(dir, 'a'));
    mkdirSync(join(dir, 'a'));
    renameSync(join(dir, 'g'), join(dir, 'z'));
    chmodSync(join(dir, 'd/e'), 0o700);
    write('ign/i', 'ignored');
    write('ign/keep', 'kept');
    const changed = new Set(['d/b', 'd/new', 'a', 'g', 'z', 'd/e', 'ign/i', 'ign/keep']);
    const again = first.again(changed);
    const whole = scanContext(options);
    expect(await contents(again)).toEqual(await contents(whole));
    expect(again.entries.map(({ mode, mtimeMs }) => [mode, mtimeMs])).toEqual(
      whole.entries.map(({ mode, mtimeMs }) => [mode, mtimeMs]),
    );
    expect(again.differences()).toEqual([]);
  });

  it('reads only what is named', () => {
    const { dir, write } = context(['d/a', 'd/b', 'e/c']);
    const first = scanContext({ dir, select: [''] });
    write('d/a', 'longer than before');
    write('e/c', 'longer than before');
    const again = first.again(new Set(['d/a']));
    const sizeOf = (path: string) => again.entries.find((entry) => entry.path === path)?.size;
    expect(sizeOf('d/a')).toBe(18);
    expect(sizeOf('e/c')).toBe(3);
    expect(again.differences()).toEqual(['e/c']);
  });

  it('follows a link to somewhere else when only parts are selected', async () => {
    const { dir, write } = context(['lib/a', 'other/b']);
    symlinkSync('lib', join(dir, 'link'));
    const first = scanContext({ dir, select: ['link'] });
    await contents(first);
    write('lib/a', 'changed');
    const again = first.again(new Set(['lib/a']));
    const known = await contents(again);
    expect(Object.keys(known)).toEqual(['', 'lib', 'lib/a', 'link']);
    expect(known).toEqual(await contents(scanContext({ dir, select: ['link'] })));
    expect(readFileSync(join(dir, 'link/a'), 'utf8')).toBe('changed');
  });
});
