import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withLowerFacts } from '../../../src/executor/lower-facts.ts';
import { sys } from '../../../src/layer/sys.ts';
import { noteImplied } from '../../../src/layer/tree/implied-directories.ts';
import { unpackLayer } from '../../../src/layer/unpack-layer.ts';
import { createScratch, foreignTar, type Member, type Scratch, streamOf } from '../../support/layers.ts';

const signal = new AbortController().signal;
const OPAQUE = 'user.overlay.opaque';
const mtime = new Date(1_500_000_000_000);
const dir = (name: string, mode: number): Member => ({ name, mode, mtime, type: 'directory' });

describe.runIf(process.platform === 'linux')('withLowerFacts()', () => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = createScratch();
  });
  afterEach(() => scratch[Symbol.dispose]());

  async function layers(...archives: (readonly Member[])[]): Promise<string[]> {
    return Promise.all(
      archives.map(async (members, i) => {
        const dest = scratch.path(`${i}/fs`);
        mkdirSync(dest, { recursive: true });
        const tar = await foreignTar(members);
        const how = { signal, dest, opaqueXattr: OPAQUE, ignoreOwners: true, size: tar.length } as const;
        const { tree } = await unpackLayer({ stream: streamOf(tar) }, how);
        noteImplied(dest, tree);
        return dest;
      }),
    );
  }

  const stack = (lower: readonly string[]): readonly string[] =>
    withLowerFacts(lower, { dir: scratch.path('facts'), rootless: true });
  const shown = (path: string): string =>
    (lstatSync(scratch.path(`facts/${path}`)).mode & 0o7777).toString(8);

  it('adds nothing when every layer lists its directories', async () => {
    const lower = await layers([dir('tmp', 0o1777)], [dir('tmp', 0o755), { name: 'tmp/x', data: '' }]);
    expect(stack(lower)).toBe(lower);
    expect(existsSync(`${dirname(lower[1] ?? '')}/implied.json`)).toBe(false);
  });

  it('shows what a lower layer says when a higher one has only files in the directory', async () => {
    const lower = await layers(
      [dir('home', 0o711), dir('home/app', 0o700), dir('tmp', 0o1777)],
      [{ name: 'home/app/f', data: '' }],
      [
        { name: 'tmp/.wh.gone', data: '' },
        { name: 'new/deep/f', data: '' },
      ],
    );
    sys().lsetxattr(`${lower[0]}/home/app`, 'user.note', Buffer.from('kept'));
    sys().lsetxattr(`${lower[0]}/home/app`, OPAQUE, Buffer.from('y'));
    expect(stack(lower)).toEqual([...lower, scratch.path('facts')]);
    expect(['home', 'home/app', 'tmp'].map(shown)).toEqual(['711', '700', '1777']);
    expect(lstatSync(scratch.path('facts/home')).mtimeMs).toBe(mtime.getTime());
    expect(sys().llistxattr(scratch.path('facts/home/app'))).toEqual(['user.note']);
    expect(existsSync(scratch.path('facts/new'))).toBe(false);
  });

  it('leaves a directory alone that is listed again, gone or replaced further up', async () => {
    const lower = await layers(
      [dir('a', 0o700), dir('b', 0o700), dir('c', 0o700), dir('d', 0o700), dir('d/e', 0o700)],
      ['a', 'b', 'c', 'd/e'].map((name) => ({ name: `${name}/f`, data: '' })),
      [
        dir('a', 0o711),
        { name: '.wh.b', data: '' },
        { name: 'c', type: 'symlink', linkname: '/' },
        { name: 'd/.wh..wh..opq', data: '' },
        { name: 'd/g', data: '' },
      ],
    );
    stack(lower);
    expect(['a', 'b', 'c', 'd/e'].filter((name) => existsSync(scratch.path(`facts/${name}`)))).toEqual([]);
    expect(shown('d')).toBe('700');
  });

  it('takes nothing from behind a symlink that a directory replaces', async () => {
    const lower = await layers(
      [dir('usr/lib', 0o700), { name: 'lib', type: 'symlink', linkname: 'usr/lib' }],
      [{ name: 'lib/sub/f', data: '' }],
    );
    expect(stack(lower)).toBe(lower);
  });
});
