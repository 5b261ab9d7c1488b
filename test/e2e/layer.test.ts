import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeName, fsPath } from '../../src/layer/path-bytes.ts';
import { SYS, sys } from '../../src/layer/sys.ts';
import { type DiffUpperOptions, diffUpper } from '../../src/layer/tree/diff-upper.ts';
import { hashTree } from '../../src/layer/tree/hash-tree.ts';
import { mergeTrees } from '../../src/layer/tree/merge-trees.ts';
import type { Tree, TreeEntry } from '../../src/layer/types.ts';
import { applyLayer, readTree, unpackLayer } from '../../src/layer/unpack-layer.ts';
import { createScratch, entryOf, type Scratch, sha256 } from '../support/layers.ts';

const signal = new AbortController().signal;
const TRUSTED: DiffUpperOptions = { opaqueXattr: 'trusted.overlay.opaque' };
const root = process.geteuid?.() === 0;

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
}

/** All of a directory as a tree with digests; two directories are equal when these are. */
async function snapshotOf(dir: string): Promise<Tree> {
  return hashTree(diffUpper(dir, TRUSTED), (entry) => ({ path: fsPath(`${dir}/${entry.path}`) }));
}

function contentIn(dir: string) {
  return (entry: TreeEntry) => ({ path: fsPath(`${dir}/${entry.path}`) });
}

describe.skipIf(!root)('layers on a real overlay', () => {
  let scratch: Scratch;
  let mounted: string[];

  beforeEach(() => {
    scratch = createScratch();
    mounted = [];
  });
  afterEach(() => {
    for (const target of mounted) sys().umount(target, SYS.MNT_DETACH);
    scratch[Symbol.dispose]();
  });

  function mount(lowers: readonly string[], withUpper = true): { merged: string; upper: string } {
    const id = mounted.length;
    const [merged, upper, work] = ['merged', 'upper', 'work'].map((name) => scratch.path(`${name}${id}`)) as [
      string,
      string,
      string,
    ];
    for (const dir of [merged, upper, work]) mkdirSync(dir);
    const fs = sys().fsopen('overlay');
    for (const lower of lowers) sys().fsconfigString(fs, 'lowerdir+', lower);
    if (withUpper) {
      sys().fsconfigString(fs, 'upperdir', upper);
      sys().fsconfigString(fs, 'workdir', work);
      for (const key of ['metacopy', 'index', 'redirect_dir']) sys().fsconfigString(fs, key, 'off');
    }
    sys().fsconfigCreate(fs);
    const fd = sys().fsmount(fs);
    sys().moveMount(fd, merged);
    sys().close(fd);
    sys().close(fs);
    mounted.push(merged);
    return { merged, upper };
  }

  function makeLower(): string {
    const lower = scratch.path('lower');
    mkdirSync(`${lower}/etc/conf.d`, { recursive: true });
    mkdirSync(`${lower}/opt/old/deep`, { recursive: true });
    mkdirSync(`${lower}/var/log`, { recursive: true });
    for (const name of [
      'etc/passwd',
      'etc/conf.d/a',
      'opt/old/deep/x',
      'var/log/l1',
      'var/log/l2',
      'plain',
    ]) {
      writeFileSync(`${lower}/${name}`, name);
      utimesSync(`${lower}/${name}`, 1000, 1000);
    }
    symlinkSync('etc', `${lower}/config`);
    return lower;
  }

  it('diffUpper() sees every kind of change when a step made them', async () => {
    const { merged, upper } = mount([makeLower()]);
    rmSync(`${merged}/plain`);
    rmSync(`${merged}/opt/old`, { recursive: true });
    mkdirSync(`${merged}/opt/old`);
    writeFileSync(`${merged}/opt/old/new`, 'new');
    chmodSync(`${merged}/etc/passwd`, 0o600);
    writeFileSync(`${merged}/hard`, 'x');
    linkSync(`${merged}/hard`, `${merged}/also`);
    sys().mknod(`${merged}/null`, { type: SYS.S_IFCHR, mode: 0o666, major: 1, minor: 3 });
    sys().mknod(`${merged}/pipe`, { type: SYS.S_IFIFO, mode: 0o644 });
    sys().lsetxattr(`${merged}/etc/conf.d/a`, 'user.note', Buffer.of(0, 200));
    sys().lsetxattr(
      `${merged}/hard`,
      'security.capability',
      Buffer.from('0100000200200000000000000000000000000000', 'hex'),
    );
    writeFileSync(encodeName(`${merged}/bad\udcff`), '');
    const server = createServer().listen(`${merged}/socket`);
    await new Promise((resolve) => server.once('listening', resolve));
    const tree = diffUpper(upper, TRUSTED);
    server.close();
    const shown = tree.map(
      ({ type, path, link }) => `${type} ${path}${link === undefined ? '' : ` -> ${link}`}`,
    );
    expect(shown).toEqual([
      'whiteout plain',
      'file also',
      'file bad\udcff',
      'dir etc',
      'dir etc/conf.d',
      'file etc/conf.d/a',
      'file etc/passwd',
      'hardlink hard -> also',
      'char null',
      'dir opt',
      'dir opt/old',
      'opaque opt/old',
      'file opt/old/new',
      'fifo pipe',
      'socket socket',
    ]);
    expect(tree.find(({ path }) => path === 'null')).toMatchObject({
      devMajor: 1,
      devMinor: 3,
      mode: 0o666 & ~process.umask(),
    });
    expect(tree.find(({ path }) => path === 'etc/conf.d/a')?.xattrs).toEqual({ 'user.note': 'AMg=' });
    expect(tree.find(({ path }) => path === 'also')?.xattrs).toHaveProperty(['security.capability']);
    expect(diffUpper(upper, { ...TRUSTED, withRoot: true })[0]).toMatchObject({ path: '', type: 'dir' });
  });

  it.each(['gzip', 'zstd'] as const)(
    'unpackLayer() gives the same merged view when a diff went through %s',
    async (compression) => {
      const lower = makeLower();
      const { merged, upper } = mount([lower]);
      rmSync(`${merged}/var/log`, { recursive: true });
      mkdirSync(`${merged}/var/log`);
      writeFileSync(`${merged}/var/log/l3`, 'l3');
      rmSync(`${merged}/config`);
      mkdirSync(`${merged}/config`);
      chownSync(`${merged}/etc/passwd`, 1234, 70000);
      chmodSync(`${merged}/etc/passwd`, 0o6755);
      const packed = await scratch.pack(diffUpper(upper, TRUSTED), {
        compression,
        content: contentIn(upper),
      });
      const dest = scratch.path('snapshot');
      mkdirSync(dest);
      const { digest } = packed;
      await unpackLayer({ path: packed.blob }, { signal, dest, digest, ...TRUSTED });
      const again = mount([dest, lower], false);
      expect(await snapshotOf(again.merged)).toEqual(await snapshotOf(merged));
    },
  );

  it("applyLayer() and mergeTrees() give the step's result when its diff is applied to a copy", async () => {
    let seed = 7;
    const next = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >> 8) % below;
    };
    for (let round = 0; round < 12; round++) {
      const lower = scratch.path(`random${round}`);
      mkdirSync(lower);
      change(lower, 30, next);
      const copy = scratch.path(`copy${round}`);
      run('cp', '-a', lower, copy);
      const before = await snapshotOf(lower);
      const { merged, upper } = mount([lower]);
      change(merged, 40, next);
      const wanted = await snapshotOf(merged);
      const packed = await scratch.pack(diffUpper(upper, TRUSTED), { content: contentIn(upper) });
      await applyLayer(
        { path: packed.blob },
        { signal, dest: copy, size: packed.size, diffId: packed.diffId },
      );
      expect(await snapshotOf(copy), `round ${round}`).toEqual(wanted);
      expect(mergeTrees([before, packed.tree]), `round ${round}`).toEqual(wanted);
    }
  });

  it('unpackLayer() makes an opaque directory when whiteout and directory share a path', async () => {
    const lower = makeLower();
    const tree = [entryOf('opt', 'dir'), entryOf('opt/old', 'whiteout'), entryOf('opt/old', 'dir')];
    const packed = await scratch.pack(tree);
    const dest = scratch.path('snapshot');
    mkdirSync(dest);
    await unpackLayer({ path: packed.blob }, { signal, dest, size: packed.size, ...TRUSTED });
    expect(readdirSync(`${mount([dest, lower], false).merged}/opt/old`)).toEqual([]);
  });

  function change(dir: string, steps: number, next: (below: number) => number): void {
    const names = ['a', 'b', 'c', 'd'];
    for (let step = 0; step < steps; step++) {
      const depth = 1 + next(3);
      const parts = Array.from({ length: depth }, () => names[next(4)] as string);
      const parent = `${dir}/${parts.slice(0, -1).join('/')}`;
      const path = `${dir}/${parts.join('/')}`;
      try {
        if (!lstatSync(parent).isDirectory()) continue;
      } catch {
        continue;
      }
      const kind = next(8);
      if (kind >= 6) rmSync(path, { recursive: true, force: true });
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat !== undefined) {
        if (kind === 0 && !stat.isSymbolicLink()) chmodSync(path, 0o700 + next(64));
        continue;
      }
      if (kind <= 1) writeFileSync(path, `${step}`);
      else if (kind <= 3) mkdirSync(path);
      else if (kind === 4) symlinkSync(names[next(4)] as string, path);
      else if (kind === 5) {
        const source = `${dir}/${names[next(4)]}`;
        if (lstatSync(source, { throwIfNoEntry: false })?.isFile()) linkSync(source, path);
      }
    }
  }
});

describe('layers in the hands of others', () => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = createScratch();
  });
  afterEach(() => scratch[Symbol.dispose]());

  function oddTree(): Tree {
    return [
      entryOf('d', 'dir', { mode: 0o1777, mtimeSec: 1_700_000_000 }),
      scratch.file('d/big', Buffer.alloc(5_000_000, 'z'), { mtimeSec: 4_000_000_000 }),
      scratch.file(`d/${'long-name-'.repeat(20)}`, 'long'),
      scratch.file('d/umläut 日本', 'utf8'),
      scratch.file('d/raw\udcff', 'raw'),
      scratch.file('ids', 'ids', { uid: 3_000_000, gid: 4_000_000, mode: 0o4755 }),
      entryOf('link', 'symlink', { link: `../${'t/'.repeat(80)}x`, mode: 0o777 }),
      entryOf('z', 'hardlink', { link: 'ids', uid: 3_000_000, gid: 4_000_000, mode: 0o4755 }),
    ];
  }

  it('GNU tar lists what packLayer() stored when names, ids and times are odd', async () => {
    const packed = await scratch.pack(oddTree());
    const text = run(
      'tar',
      '--numeric-owner',
      '--quoting-style=escape',
      '--full-time',
      '--utc',
      '-tvzf',
      packed.blob,
    );
    const lines = text.trimEnd().split('\n');
    expect(lines).toHaveLength(8);
    expect(lines[0]).toMatch(/^drwxrwxrwt 0\/0 +0 2023-11-14 22:13:20 d\/$/);
    expect(text).toContain('5000000 2096-10-02 07:06:40 d/big');
    expect(text).toMatch(/-rwsr-xr-x 3000000\/4000000 +3 .* ids/);
    expect(text).toContain(`link -> ../${'t/'.repeat(80)}x`);
    expect(text).toMatch(/z link to ids/);
    expect(text).toContain('d/raw\\377');
    run('gzip', '-t', packed.blob);
  });

  it('Python reads names, attributes and content when packLayer() wrote them', async () => {
    const tree = [
      ...oddTree(),
      scratch.file('x', 'x', { xattrs: { 'user.b': Buffer.of(255, 0, 10).toString('base64') } }),
    ];
    const packed = await scratch.pack(tree);
    const script = `
import tarfile, sys, json, hashlib
t = tarfile.open(sys.argv[1])
out = []
for m in t:
    f = t.extractfile(m) if m.isreg() else None
    out.append([m.name.encode('utf8', 'surrogateescape').hex(), m.mode, m.uid, m.gid, m.mtime,
        hashlib.sha256(f.read()).hexdigest() if f else None, m.linkname,
        {k: v.encode('utf8', 'surrogateescape').hex() for k, v in m.pax_headers.items() if k.startswith('SCHILY')}])
print(json.dumps(out))`;
    const read = JSON.parse(run('python3', '-c', script, packed.blob)) as unknown[][];
    const expected = packed.tree.map((entry) => [
      encodeName(entry.path).toString('hex'),
      entry.mode,
      entry.uid,
      entry.gid,
      entry.mtimeSec,
      entry.digest?.slice(7) ?? (entry.type === 'hardlink' ? sha256('ids').slice(7) : null),
      entry.link ?? '',
      entry.path === 'x' ? { 'SCHILY.xattr.user.b': 'ff000a' } : {},
    ]);
    const hardlinkAware = read.map((row, i) =>
      packed.tree[i]?.type === 'hardlink' && row[5] === null
        ? [...row.slice(0, 5), sha256('ids').slice(7), ...row.slice(6)]
        : row,
    );
    expect(hardlinkAware).toEqual(expected);
  });

  it.each(['v7', 'ustar', 'gnu', 'oldgnu', 'posix'])(
    'readTree() gives the files when GNU tar wrote them as %s',
    async (format) => {
      const dir = scratch.path('src');
      mkdirSync(`${dir}/d`, { recursive: true });
      writeFileSync(`${dir}/d/f`, 'content');
      symlinkSync('f', `${dir}/d/l`);
      linkSync(`${dir}/d/f`, `${dir}/d/z`);
      const long = format === 'v7' ? 'short' : `${'x'.repeat(80)}/${'y'.repeat(90)}`;
      mkdirSync(`${dir}/${long}`, { recursive: true });
      writeFileSync(`${dir}/${long}/g`, 'deep');
      const archive = scratch.path('a.tar');
      run('tar', `--format=${format}`, '--sort=name', '-cf', archive, '-C', dir, '.');
      const { tree } = await readTree({ path: archive }, { signal });
      const wanted = await hashTree(diffUpper(dir, { ...TRUSTED, withRoot: true }), contentIn(dir));
      expect(tree).toEqual(wanted);
    },
  );

  it('skopeo decompresses to the diffID when it copies our members', async () => {
    for (const compression of ['gzip', 'zstd'] as const) {
      const packed = await scratch.pack(oddTree(), { compression });
      const layout = scratch.path(`oci-${compression}`);
      mkdirSync(`${layout}/blobs/sha256`, { recursive: true });
      const put = (data: Buffer | string) => {
        const digest = sha256(data);
        writeFileSync(`${layout}/blobs/sha256/${digest.slice(7)}`, data);
        return { digest, size: Buffer.byteLength(data) };
      };
      renameSync(packed.blob, `${layout}/blobs/sha256/${packed.digest.slice(7)}`);
      const config = put(
        JSON.stringify({
          architecture: 'amd64',
          os: 'linux',
          rootfs: { type: 'layers', diff_ids: [packed.diffId] },
        }),
      );
      const manifest = put(
        JSON.stringify({
          schemaVersion: 2,
          config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
          layers: [{ mediaType: packed.mediaType, digest: packed.digest, size: packed.size }],
        }),
      );
      writeFileSync(`${layout}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
      const type = 'application/vnd.oci.image.manifest.v1+json';
      writeFileSync(
        `${layout}/index.json`,
        JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: type, ...manifest }] }),
      );
      const out = scratch.path(`dir-${compression}`);
      run('skopeo', '--insecure-policy', 'copy', '--dest-decompress', `oci:${layout}`, `dir:${out}`);
      expect(sha256(readFileSync(`${out}/${packed.diffId.slice(7)}`))).toBe(packed.diffId);
    }
  });

  it('throws ROOTLESS_UNAVAILABLE when a user namespace does not map an owner or allow a device', async () => {
    const script = `
import { unpackLayer } from ${JSON.stringify(new URL('../../src/layer/unpack-layer.ts', import.meta.url).href)};
import { mkdirSync } from 'node:fs';
const [blob, dest] = process.argv.slice(1);
mkdirSync(dest);
const signal = new AbortController().signal;
const failure = await unpackLayer({ path: blob }, { signal, dest, opaqueXattr: 'user.overlay.opaque' }).then(
  () => 'fine', (error) => error.code + ': ' + error.message);
console.log(failure);`;
    const inNamespace = (blob: string, dest: string) =>
      run(
        'unshare',
        '--user',
        '--map-root-user',
        process.execPath,
        '--input-type=module',
        '-e',
        script,
        blob,
        dest,
      ).trim();
    chmodSync(scratch.dir, 0o777);
    const owned = await scratch.pack([scratch.file('f', 'x', { uid: 70000 })]);
    expect(inNamespace(owned.blob, scratch.path('a'))).toBe(
      'ROOTLESS_UNAVAILABLE: Cannot give "f" to 70000:0: the user namespace does not map that id',
    );
    const device = await scratch.pack([entryOf('n', 'char', { devMajor: 1, devMinor: 3 })]);
    expect(inNamespace(device.blob, scratch.path('b'))).toContain(
      'ROOTLESS_UNAVAILABLE: Cannot create device "n"',
    );
    const plain = await scratch.pack([
      entryOf('d', 'dir', { mode: 0o2755 }),
      entryOf('d', 'opaque'),
      entryOf('gone', 'whiteout'),
      scratch.file('d/f', 'x', { mode: 0o4755 }),
    ]);
    expect(inNamespace(plain.blob, scratch.path('c'))).toBe('fine');
    expect(lstatSync(scratch.path('c/gone')).rdev).toBe(0);
    expect(sys().lgetxattr(scratch.path('c/d'), 'user.overlay.opaque')?.toString()).toBe('y');
    expect(lstatSync(scratch.path('c/d/f')).mode & 0o7777).toBe(0o4755);
  });

  it.skipIf(!root)('throws DISK_FULL and leaves nothing when the disk is full', async () => {
    const disk = scratch.path('disk');
    mkdirSync(disk);
    sys().mount({ source: 'tmpfs', target: disk, type: 'tmpfs', data: 'size=1m' });
    try {
      const { randomBytes } = await import('node:crypto');
      const tree = [scratch.file('big', randomBytes(4_000_000))];
      await expect(scratch.pack(tree, { dest: `${disk}/blob` })).rejects.toMatchObject({ code: 'DISK_FULL' });
      expect(readdirSync(disk)).toEqual([]);
      const packed = await scratch.pack(tree);
      const options = { signal, dest: disk, ...TRUSTED };
      await expect(unpackLayer({ path: packed.blob }, options)).rejects.toMatchObject({ code: 'DISK_FULL' });
    } finally {
      sys().umount(disk);
    }
  });
});
