import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { scanContext, scanContextInTurns } from '../../../../src/cache/contexts/context-scan.ts';
import type { ContextEntry, ContextScan, ScanOptions } from '../../../../src/cache/contexts/context-types.ts';
import { OcibuildError } from '../../../../src/errors/error.ts';
import { sys } from '../../../../src/layer/sys.ts';
import { compareEntries } from '../../../../src/layer/tree/tree.ts';
import { runs } from '../../../support/runs.ts';
import { tempDir } from '../temp-store.ts';

const signal = new AbortController().signal;
const LONG_AGO = new Date('2024-01-02T03:04:05.678Z');

/** Writes files; a path that ends with a slash is a directory. */
function put(dir: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(path.endsWith('/') ? join(dir, path) : dirname(join(dir, path)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(join(dir, path), text);
  }
}

/** Waits until what was just written is old enough to be trusted. */
const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 40));

async function scan(options: Partial<ScanOptions> & { dir: string }): Promise<ContextScan> {
  const result = scanContext({ select: [''], ...options });
  await result.digestAll(result.entries, { signal });
  return result;
}
const paths = (result: ContextScan): string[] => result.entries.map((entry) => entry.path);
const at = (result: ContextScan, path: string): ContextEntry => {
  const found = result.entries.find((entry) => entry.path === path);
  if (found === undefined) throw new Error(`no "${path}" in ${paths(result).join(' ')}`);
  return found;
};
const sha256 = (text: string | Buffer): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

describe('scanContext', () => {
  it('scanContext() lists entries in the canonical order of layers', async () => {
    const dir = tempDir();
    put(dir, { 'b/z': '', 'b.txt': '', 'b/a/x': '', 'b-c': '', a: '', é: '', 'Z/': '', 𝒳: '', '\uff5e': '' });
    const { entries } = await scan({ dir });
    expect(entries.map((entry) => entry.path)).toEqual(
      entries.toSorted(compareEntries).map((entry) => entry.path),
    );
    expect(entries[0]).toMatchObject({ path: '', type: 'dir' });
    expect(entries).toHaveLength(12);
  });

  it('scanContextInTurns() lists the same, and stops in between when its signal is aborted', async () => {
    const dir = tempDir();
    for (let i = 0; i < 4100; i++) writeFileSync(join(dir, `${i}`), '');
    const options = { dir, select: [''] };
    expect((await scanContextInTurns(options)).entries).toEqual(scanContext(options).entries);
    const controller = new AbortController();
    const scanning = scanContextInTurns({ ...options, signal: controller.signal });
    controller.abort(new OcibuildError('CANCELLED', 'Cannot finish'));
    await expect(scanning).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('scanContext() gives every fact of an entry', async () => {
    const dir = tempDir();
    put(dir, { 'bin/run': 'hello' });
    chmodSync(join(dir, 'bin/run'), 0o4711);
    utimesSync(join(dir, 'bin/run'), LONG_AGO, LONG_AGO);
    linkSync(join(dir, 'bin/run'), join(dir, 'bin/same'));
    symlinkSync('../bin/run', join(dir, 'bin/link'));
    sys().mknod(join(dir, 'pipe'), { type: 0x1000, mode: 0o600 });
    const result = await scan({ dir });
    expect(at(result, 'bin/run')).toMatchObject({
      type: 'file',
      mode: 0o4711,
      uid: 0,
      gid: 0,
      size: 5,
      mtimeSec: Math.floor(LONG_AGO.getTime() / 1000),
      nlink: 2,
      digest: sha256('hello'),
    });
    expect(at(result, 'bin/same').ino).toBe(at(result, 'bin/run').ino);
    expect(at(result, 'bin/link')).toMatchObject({ type: 'symlink', link: '../bin/run', size: 0 });
    expect(at(result, 'pipe')).toMatchObject({ type: 'fifo', size: 0 });
    expect(at(result, 'bin')).toMatchObject({ type: 'dir', size: 0 });
    expect(result.filePath(at(result, 'bin/run'))).toBe(join(dir, 'bin/run'));
  });

  it('scanContext() keeps a socket as an empty file', async () => {
    const dir = tempDir();
    const server = createServer().listen(join(dir, 'sock'));
    await new Promise((done) => server.once('listening', done));
    const result = await scan({ dir });
    server.close();
    expect(at(result, 'sock')).toMatchObject({ type: 'file', size: 0, digest: sha256('') });
  });

  it('scanContext() keeps names that are not UTF-8 apart', async () => {
    const dir = tempDir();
    for (const byte of [0xe4, 0xfc]) {
      writeFileSync(Buffer.concat([Buffer.from(`${dir}/f`), Buffer.of(byte)]), `text ${byte}`);
    }
    const first = await scan({ dir, statCacheFile: join(tempDir(), 'c') });
    expect(paths(first)).toEqual(['', 'f\udce4', 'f\udcfc']);
    expect(at(first, 'f\udcfc').digest).toBe(sha256('text 252'));
    expect(readFileSync(first.filePath(at(first, 'f\udce4')), 'utf8')).toBe('text 228');
  });

  it.runIf(process.getuid?.() === 0)('scanContext() reads the attributes that go into images', async () => {
    const dir = tempDir();
    put(dir, { f: 'x', d: '' });
    const { lsetxattr } = sys();
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    lsetxattr(join(dir, 'f'), 'security.capability', capability);
    lsetxattr(join(dir, 'f'), 'trusted.overlay.opaque', Buffer.from('y'));
    await settle();
    const options = { dir, statCacheFile: join(tempDir(), 'c') };
    const first = await scan(options);
    const xattrs = { 'security.capability': capability.toString('base64') };
    expect(at(first, 'f').xattrs).toEqual(xattrs);
    expect(at(first, 'd').xattrs).toBeUndefined();
    expect(first.save()).toBe(true);
    expect(at(scanContext({ ...options, select: [''] }), 'f').xattrs).toEqual(xattrs);
  });

  it('scanContext() says CONTEXT_NOT_FOUND when there is no directory', () => {
    const dir = tempDir();
    put(dir, { file: '' });
    for (const path of ['none', 'file', 'file/x']) {
      expect(() => scanContext({ dir: join(dir, path), select: [''] })).toThrow(
        expect.objectContaining({ code: 'CONTEXT_NOT_FOUND' }),
      );
    }
  });

  it('digestAll() hashes only what it is given', async () => {
    const dir = tempDir();
    put(dir, { a: 'A', b: 'B' });
    const result = scanContext({ dir, select: [''] });
    await result.digestAll([at(result, 'b')], { signal });
    expect(result.entries.map((entry) => entry.digest)).toEqual([undefined, undefined, sha256('B')]);
  });

  it('digestAll() says CONTEXT_CHANGED when a file is not what was listed', async () => {
    const changes: Record<string, (path: string) => void> = {
      grown: (path) => writeFileSync(path, 'longer than before'),
      shrunk: (path) => writeFileSync(path, ''),
      touched: (path) => utimesSync(path, 1, 1),
      gone: (path) => rmSync(path),
      replaced: (path) => {
        rmSync(path);
        symlinkSync('/etc/passwd', path);
      },
    };
    for (const [name, change] of Object.entries(changes)) {
      const dir = tempDir();
      put(dir, { [name]: 'text' });
      const result = scanContext({ dir, select: [''] });
      change(join(dir, name));
      await expect(result.digestAll(result.entries, { signal }), name).rejects.toMatchObject({
        code: 'CONTEXT_CHANGED',
        message: expect.stringContaining(name),
      });
    }
  });

  it('digestAll() stops when its signal is aborted', async () => {
    const dir = tempDir();
    put(dir, { a: 'A' });
    const result = scanContext({ dir, select: [''] });
    await expect(result.digestAll(result.entries, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });

  it('digestAll() shares much work with a thread, and passes its errors on', async () => {
    const dir = tempDir();
    // Sparse, so that nothing is written: what counts is that there are more than 100 MiB.
    const names = ['a', 'b', 'c', 'd'];
    for (const [i, name] of names.entries()) {
      writeFileSync(join(dir, name), `text ${i}`);
      truncateSync(join(dir, name), 30 << 20);
    }
    const result = await scan({ dir });
    for (const [i, name] of names.entries()) {
      const content = Buffer.alloc(30 << 20);
      content.write(`text ${i}`);
      expect(at(result, name).digest).toBe(sha256(content));
    }
    const again = scanContext({ dir, select: [''] });
    for (const name of names) rmSync(join(dir, name));
    await expect(again.digestAll(again.entries, { signal })).rejects.toMatchObject({
      code: 'CONTEXT_CHANGED',
    });
  });
});

describe('scanContext with a selection', () => {
  it('scanContext() walks only what was asked for and the directories above it', async () => {
    const dir = tempDir();
    put(dir, { 'src/a.ts': '', 'src/lib/b.ts': '', 'docs/x/y': '', 'docs/z': '', 'package.json': '' });
    expect(paths(await scan({ dir, select: ['package.json', './docs/x/', 'none/at/all'] }))).toEqual([
      '',
      'docs',
      'docs/x',
      'docs/x/y',
      'package.json',
    ]);
    expect(paths(await scan({ dir, select: [] }))).toEqual(['']);
    expect(paths(await scan({ dir, select: ['src/lib', '/src/../src'] }))).toHaveLength(5);
  });

  it('scanContext() follows links on the way and at the end', async () => {
    const dir = tempDir();
    put(dir, { 'releases/1/app.js': '', 'releases/2/app.js': '', 'other/x': '', 'shared/y': '' });
    symlinkSync('releases/1', join(dir, 'current'));
    symlinkSync('/shared', join(dir, 'releases/1/shared'));
    expect(paths(await scan({ dir, select: ['current/app.js'] }))).toEqual([
      '',
      'current',
      'releases',
      'releases/1',
      'releases/1/app.js',
    ]);
    expect(paths(await scan({ dir, select: ['current'] }))).toContain('shared/y');
  });

  it('scanContext() ends when links go round in circles or out of the context', async () => {
    const dir = tempDir();
    put(dir, { 'a/x': '' });
    symlinkSync('loop/loop', join(dir, 'loop'));
    symlinkSync('../../../../../../a', join(dir, 'out'));
    expect(paths(await scan({ dir, select: ['loop'] }))).toEqual(['', 'loop']);
    expect(paths(await scan({ dir, select: ['out'] }))).toEqual(['', 'a', 'a/x', 'out']);
  });

  it('scanContext() leaves out what is ignored, but keeps the way to what is not', async () => {
    const dir = tempDir();
    put(dir, {
      'node_modules/a/i.js': '',
      'dist/keep/me': '',
      'dist/drop': '',
      'dist/e/': '',
      'src/x.log': '',
      'src/y': '',
    });
    const looked: string[] = [];
    const ignore = {
      excluded: (path: string) => {
        looked.push(path);
        return /^node_modules|^dist(?!\/keep)|\.log$/.test(path);
      },
      mayContainIncluded: (path: string) => path === 'dist',
    };
    const result = await scan({ dir, ignore });
    expect(paths(result)).toEqual(['', 'dist', 'dist/keep', 'dist/keep/me', 'src', 'src/y']);
    expect(looked).not.toContain('node_modules/a');
    rmSync(join(dir, 'dist/keep'), { recursive: true });
    expect(paths(await scan({ dir, ignore }))).toEqual(['', 'src', 'src/y']);
  });
});

describe('stat cache', () => {
  it('save() makes the next scan know every digest, and writes nothing when nothing is new', async () => {
    const dir = tempDir();
    const tempPath = join(tempDir(), 't');
    const options = { dir, select: [''], statCacheFile: join(tempDir(), 'c'), tempPath: () => tempPath };
    put(dir, { 'a/b': 'B', c: 'C' });
    await settle();
    expect((await scan(options)).save()).toBe(true);
    const next = scanContext(options);
    expect(at(next, 'a/b').digest).toBe(sha256('B'));
    expect(at(next, 'c').digest).toBe(sha256('C'));
    expect(next.save()).toBe(false);
    expect(readdirSync(dirname(options.statCacheFile))).toEqual(['c']);
    expect(statSync(options.statCacheFile).mode & 0o777).toBe(0o600);
  });

  it('scanContext() does not trust a row that is as new as the scan that wrote it', async () => {
    const dir = tempDir();
    const options = { dir, select: [''], statCacheFile: join(tempDir(), 'c') };
    for (let round = 0; round < 20; round++) {
      writeFileSync(join(dir, 'f'), `text ${round % 10}`);
      const result = await scan(options);
      expect(at(result, 'f').digest).toBe(sha256(`text ${round % 10}`));
      result.save();
    }
  });

  it.each([
    [5, false],
    [-5, false],
    [5000, true],
  ])('scanContext() trusts a row written %i ms after its file: %s', async (after, trusted) => {
    const dir = tempDir();
    const options = { dir, select: [''], statCacheFile: join(tempDir(), 'c') };
    put(dir, { f: 'text' });
    const clock = vi.spyOn(Date, 'now').mockReturnValue(statSync(join(dir, 'f')).ctimeMs + after);
    const first = await scan(options);
    clock.mockRestore();
    first.save();
    expect(at(scanContext(options), 'f').digest).toBe(trusted ? sha256('text') : undefined);
  });

  it('scanContext() notices an edit that restores size and mtime', async () => {
    const dir = tempDir();
    const options = { dir, select: [''], statCacheFile: join(tempDir(), 'c') };
    put(dir, { f: 'one', g: 'same' });
    utimesSync(join(dir, 'f'), LONG_AGO, LONG_AGO);
    await settle();
    (await scan(options)).save();
    writeFileSync(join(dir, 'f'), 'two');
    utimesSync(join(dir, 'f'), LONG_AGO, LONG_AGO);
    const next = scanContext(options);
    expect(at(next, 'f').digest).toBeUndefined();
    expect(at(next, 'g').digest).toBe(sha256('same'));
  });

  it('save() keeps rows outside of its selection and drops rows of deleted files', async () => {
    const dir = tempDir();
    const statCacheFile = join(tempDir(), 'c');
    put(dir, { 'a/1': '1', 'a/2': '2', 'b/3': '3', 'c/4': '4' });
    await settle();
    (await scan({ dir, statCacheFile })).save();
    rmSync(join(dir, 'a/1'));
    const part = await scan({ dir, statCacheFile, select: ['a'] });
    expect(part.save()).toBe(true);
    const next = scanContext({ dir, statCacheFile, select: [''] });
    expect(['a/2', 'b/3', 'c/4'].map((path) => at(next, path).digest)).toEqual(['2', '3', '4'].map(sha256));
    expect(readFileSync(statCacheFile, 'latin1')).not.toContain('a/1');
  });

  it.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 3)],
    ['flipped', (bytes: Buffer) => bytes.fill(0x5a, bytes.length >> 1, (bytes.length >> 1) + 1)],
    ['zeroed', (bytes: Buffer) => bytes.fill(0, 40, 400)],
    ['foreign', () => Buffer.alloc(5000, 'text')],
  ])('scanContext() ignores a stat cache that is %s', async (_, damage) => {
    const dir = tempDir();
    const statCacheFile = join(tempDir(), 'c');
    put(dir, { a: 'A', b: 'B', c: 'C' });
    await settle();
    (await scan({ dir, statCacheFile })).save();
    writeFileSync(statCacheFile, damage(readFileSync(statCacheFile)));
    const next = scanContext({ dir, statCacheFile, select: [''] });
    expect(next.entries.map((entry) => entry.digest)).toEqual([undefined, undefined, undefined, undefined]);
    await next.digestAll(next.entries, { signal });
    expect(next.save()).toBe(true);
  });

  it('scanContext() gives the same with a stat cache as without when files change at random', async () => {
    const name = fc.constantFrom('a', 'b', 'b.c', 'd', 'e-f');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const change = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), path, text: fc.constantFrom('1', '2', '22') }),
      fc.record({ kind: fc.constant('remove' as const), path }),
      fc.record({ kind: fc.constant('move' as const), path, to: path }),
      fc.record({ kind: fc.constant('link' as const), path, to: path }),
    );
    const step = fc.record({
      changes: fc.array(change, { maxLength: 6 }),
      select: fc.subarray(['', 'a', 'b', 'd/a']),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 5 }), async (steps) => {
        const base = tempDir();
        const dir = join(base, 'context');
        mkdirSync(dir);
        for (const { changes, select } of steps) {
          for (const item of changes) apply(dir, item);
          const cached = await scan({ dir, select, statCacheFile: join(base, 'c') });
          const plain = await scan({ dir, select });
          expect(cached.entries).toEqual(plain.entries);
          cached.save();
        }
        rmSync(base, { recursive: true });
      }),
      runs(25),
    );
  });
});

type Change = { kind: 'write' | 'remove' | 'move' | 'link'; path: string; text?: string; to?: string };

/** Changes that the tree does not allow are left out. */
function apply(dir: string, { kind, path, text = '', to = '' }: Change): void {
  const file = join(dir, path);
  try {
    if (kind === 'write') {
      put(dir, { [path]: text });
      // Old times with equal sizes: only ctime tells the edits apart.
      lutimesSync(file, LONG_AGO, LONG_AGO);
    } else if (kind === 'remove') {
      rmSync(file, { recursive: true });
    } else if (kind === 'move') {
      renameSync(file, join(dir, to));
    } else {
      unlinkSync(file);
      symlinkSync(to, file);
    }
  } catch {
    // Not possible in this tree.
  }
}
