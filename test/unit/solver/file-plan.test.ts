import { describe, expect, it } from 'vitest';
import { createTreeView } from '../../../src/layer/tree/tree-view.ts';
import type { Tree, TreeEntry } from '../../../src/layer/types.ts';
import { createFilePlan, type OpenedArchive, type PlanSource } from '../../../src/solver/ops/file-plan.ts';
import { selectSources } from '../../../src/solver/ops/select.ts';
import { runAtOnce } from '../../../src/util/turns.ts';

/** `path` is a directory when it ends in a slash, a symlink when it holds ` -> `. */
function tree(...paths: readonly string[]): Tree {
  return paths.map((text, i): TreeEntry => {
    const [path = '', link] = text.split(' -> ');
    const facts = { mode: 0o644, uid: 7, gid: 8, size: 0, mtimeSec: 100 + i };
    if (link !== undefined) return { ...facts, path, type: 'symlink', mode: 0o777, link };
    if (path.endsWith('/')) return { ...facts, path: path.slice(0, -1), type: 'dir', mode: 0o750 };
    return { ...facts, path, type: 'file', size: 3 };
  });
}

function sourceOf(...paths: readonly string[]): PlanSource {
  return { view: createTreeView([tree(...paths)]), content: ({ path }) => ({ path: `/source/${path}` }) };
}

interface CopyCase {
  readonly base?: readonly string[];
  readonly source: readonly string[];
  readonly from: readonly string[];
  readonly dest: string;
}

function copy({ base = [], source, from, dest }: CopyCase, attributes = {}) {
  const plan = createFilePlan(createTreeView([tree(...base)]), 0);
  const files = sourceOf(...source);
  const selected = selectSources(
    files.view,
    from.map((path) => ({ path, wildcard: /[*?[]/.test(path) })),
  );
  runAtOnce(plan.copy(selected, files, dest, { mode: undefined, owner: undefined, ...attributes }));
  return plan.finish();
}

const shape = (entries: Tree): string[] =>
  entries.map(({ path, type, link }) => `${type} ${path}${link === undefined ? '' : ` -> ${link}`}`);

describe('createFilePlan().copy()', () => {
  it.each<[string, CopyCase, string[]]>([
    ['a file under a new name', { source: ['a'], from: ['a'], dest: '/b' }, ['file b']],
    [
      'a file into a directory by its slash',
      { source: ['a'], from: ['a'], dest: '/d/' },
      ['dir d', 'file d/a'],
    ],
    [
      'a file into an existing directory',
      { base: ['d/'], source: ['a'], from: ['a'], dest: '/d' },
      ['dir d', 'file d/a'],
    ],
    ['missing parents', { source: ['a'], from: ['a'], dest: '/x/y/z' }, ['dir x', 'dir x/y', 'file x/y/z']],
    [
      'the content of a directory',
      { source: ['s/', 's/a', 's/t/', 's/t/b'], from: ['s'], dest: '/o' },
      ['dir o', 'file o/a', 'dir o/t', 'file o/t/b'],
    ],
    [
      'the whole source',
      { source: ['a', 'd/', 'd/b'], from: [''], dest: '/' },
      ['file a', 'dir d', 'file d/b'],
    ],
    [
      'through a symlinked directory of the base',
      { base: ['real/', 'l -> /real'], source: ['a'], from: ['a'], dest: '/l/' },
      ['dir real', 'file real/a'],
    ],
    [
      'to the target of a dangling symlink',
      { base: ['l -> /new'], source: ['a'], from: ['a'], dest: '/l/x' },
      ['dir new', 'file new/x'],
    ],
    ['what a named symlink points to', { source: ['a', 'l -> a'], from: ['l'], dest: '/b' }, ['file b']],
    [
      'symlinks inside a directory as they are',
      { source: ['s/', 's/l -> ../a', 'a'], from: ['s'], dest: '/o' },
      ['dir o', 'symlink o/l -> ../a'],
    ],
    [
      'all matches of a wildcard',
      { source: ['a.x', 'b.x', 'c.y'], from: ['*.x'], dest: '/o/' },
      ['dir o', 'file o/a.x', 'file o/b.x'],
    ],
    [
      'a symlink that leads out of the root, inside it',
      { source: ['l -> ../../a', 'a'], from: ['l'], dest: '/b' },
      ['file b'],
    ],
  ])('copies %s', (_, given, expected) => {
    expect(shape(copy(given).tree)).toEqual(expected);
  });

  it('repeats directories of the base with their attributes and the time of the epoch', () => {
    const { tree: made } = copy({ base: ['d/'], source: ['a'], from: ['a'], dest: '/d/' });
    expect(made[0]).toMatchObject({ path: 'd', mode: 0o750, uid: 7, gid: 8, mtimeSec: 0 });
  });

  it('gives mode and owner to files and directories, permission bits under umask to new parents', () => {
    const { tree: made } = copy(
      { source: ['s/', 's/a', 's/t/'], from: ['s'], dest: '/o' },
      { mode: 0o2720, owner: { uid: 1, gid: 2 }, directoryOwner: { uid: 1, gid: 2 } },
    );
    expect(made.map(({ mode }) => mode)).toEqual([0o700, 0o2720, 0o2720]);
    for (const entry of made) expect(entry).toMatchObject({ uid: 1, gid: 2 });
  });

  it('refuses a file over a directory and a directory over a file', () => {
    expect(() => copy({ base: ['o/', 'o/a/'], source: ['a'], from: ['a'], dest: '/o/' })).toThrow(
      /over the directory "\/o\/a"/,
    );
    expect(() => copy({ base: ['o'], source: ['s/', 's/a'], from: ['s'], dest: '/o' })).toThrow(
      /"\/o" is a file/,
    );
    expect(() => copy({ base: ['o/', 'o/t'], source: ['s/', 's/t/'], from: ['s'], dest: '/o' })).toThrow(
      /over the file "\/o\/t"/,
    );
  });

  it('names a missing source', () => {
    expect(() => copy({ source: ['a'], from: ['b'], dest: '/' })).toThrow(/Cannot find "\/b"/);
  });

  it('takes no match of a wildcard as nothing to do', () => {
    expect(copy({ source: ['a'], from: ['*.x'], dest: '/o/' }).tree).toEqual([]);
  });

  it('keeps hardlinks of one source, the first path as the file', () => {
    const entries: Tree = [
      ...tree('s/', 's/b'),
      { ...(tree('s/c')[0] as TreeEntry), type: 'hardlink', link: 's/b', size: 0 },
    ];
    const source: PlanSource = { view: createTreeView([entries]), content: ({ path }) => ({ path }) };
    const plan = createFilePlan(createTreeView([]), 0);
    const selected = selectSources(source.view, [{ path: 's', wildcard: false }]);
    runAtOnce(plan.copy(selected, source, '/o', { mode: undefined, owner: undefined }));
    expect(shape(plan.finish().tree)).toEqual(['dir o', 'file o/b', 'hardlink o/c -> o/b']);
  });

  it('reads a copied file from its source', () => {
    const planned = copy({ source: ['s/', 's/a'], from: ['s'], dest: '/o' });
    const file = planned.tree.find((entry) => entry.type === 'file') as TreeEntry;
    expect(planned.content(file)).toEqual({ path: '/source/s/a' });
  });
});

describe('createFilePlan().mkdir()', () => {
  it('passes setgid on to new directories', () => {
    const base: Tree = [{ ...(tree('a/')[0] as TreeEntry), mode: 0o2775 }];
    const plan = createFilePlan(createTreeView([base]), 0);
    plan.mkdir('/a/b', 0o755, undefined);
    expect(plan.finish().tree[1]).toMatchObject({ path: 'a/b', mode: 0o2755 });
  });

  it('makes what is missing and leaves what is there alone', () => {
    const plan = createFilePlan(createTreeView([tree('a/', 'l -> a')]), 42);
    plan.mkdir('/l/b/c', 0o755, { uid: 5, gid: 6 });
    expect(plan.finish().tree).toEqual([
      expect.objectContaining({ path: 'a', uid: 7, mode: 0o750 }),
      expect.objectContaining({ path: 'a/b', uid: 5, gid: 6, mode: 0o755, mtimeSec: 42 }),
      expect.objectContaining({ path: 'a/b/c', uid: 5, gid: 6 }),
    ]);
  });

  it('makes no layer for a directory that exists', () => {
    const plan = createFilePlan(createTreeView([tree('a/')]), 0);
    plan.mkdir('/a', 0o755, undefined);
    expect(plan.finish().tree).toEqual([]);
  });
});

function archiveOf(source: PlanSource, links: readonly TreeEntry[] = []): OpenedArchive {
  return {
    ...source,
    foreignLinks: new Map(links.map(({ path, link = '' }) => [path, link])),
    entryAt: (path) => links.find((each) => each.path === path) ?? source.view.get(path),
  };
}

describe('createFilePlan().copy() of directories on the way', () => {
  it('gives an existing one the mode of the source and leaves its owner', () => {
    const [existing] = tree('a/');
    const base = createTreeView([[{ ...(existing as TreeEntry), uid: 1, gid: 2, mode: 0o700 }]]);
    const files = sourceOf('a/', 'a/f');
    const plan = createFilePlan(base, 0);
    const selected = selectSources(files.view, [{ path: 'a/f', wildcard: false }], { parents: true });
    runAtOnce(plan.copy(selected, files, '/', { mode: undefined, owner: undefined }));
    expect(plan.finish().tree[0]).toMatchObject({ path: 'a', mode: 0o750, uid: 1, gid: 2 });
  });

  it('changes each mode by itself when the mode is symbolic', () => {
    const files = sourceOf('s/', 's/f', 's/d/');
    const plan = createFilePlan(createTreeView([]), 0);
    const selected = selectSources(files.view, [{ path: 's', wildcard: false }]);
    const mode = (old: number, isDir: boolean): number => old | (isDir ? 0o001 : 0o020);
    runAtOnce(plan.copy(selected, files, '/x', { mode, owner: undefined }));
    expect(plan.finish().tree.map((entry) => `${entry.path} ${entry.mode.toString(8)}`)).toEqual([
      'x 755',
      'x/d 751',
      'x/f 664',
    ]);
  });
});

describe('createFilePlan().unpack()', () => {
  it('lays an archive over the root, through symlinked directories, replacing files', () => {
    const plan = createFilePlan(createTreeView([tree('usr/', 'usr/bin/', 'bin -> usr/bin', 'etc')]), 0);
    plan.unpack(archiveOf(sourceOf('bin/sh', 'etc/', 'etc/passwd')), '/', { owner: undefined });
    expect(shape(plan.finish().tree)).toEqual([
      'dir etc',
      'file etc/passwd',
      'dir usr',
      'dir usr/bin',
      'file usr/bin/sh',
    ]);
  });

  it('puts a directory in the place of a symlink to one, and gives symlinks the mode of file systems', () => {
    const plan = createFilePlan(createTreeView([tree('usr/', 'usr/bin/', 'bin -> usr/bin')]), 0);
    const [link] = tree('l -> bin');
    const archive = [...tree('bin/', 'bin/sh'), { ...(link as TreeEntry), mode: 0o644 }];
    plan.unpack(archiveOf({ ...sourceOf(), view: createTreeView([archive]) }), '/', { owner: undefined });
    const { tree: planned } = plan.finish();
    expect(shape(planned)).toEqual(['dir bin', 'file bin/sh', 'symlink l -> bin']);
    expect(planned.find(({ path }) => path === 'l')?.mode).toBe(0o777);
  });

  it('gives entries and the destination the owner asked for, directories only implied to root', () => {
    const plan = createFilePlan(createTreeView([]), 0);
    const archive = sourceOf('a/b/f', 'd/', 'd/f');
    plan.unpack(archiveOf(archive), '/opt', { owner: { uid: 4, gid: 5 } });
    const owners = plan.finish().tree.map(({ path, uid, gid }) => [path, uid, gid]);
    expect(owners).toEqual([
      ['opt', 4, 5],
      ['opt/a', 0, 0],
      ['opt/a/b', 0, 0],
      ['opt/a/b/f', 4, 5],
      ['opt/d', 4, 5],
      ['opt/d/f', 4, 5],
    ]);
  });

  it('makes directories only implied without setgid, the first in the group of a parent that has it', () => {
    const base = tree('s/').map((entry) => ({ ...entry, mode: 0o2775 }));
    const plan = createFilePlan(createTreeView([base]), 0);
    plan.unpack(archiveOf(sourceOf('a/b/f')), '/s', { owner: { uid: 4, gid: 5 } });
    const made = plan.finish().tree.map(({ path, mode, gid }) => [path, mode.toString(8), gid]);
    expect(made.slice(0, 3)).toEqual([
      ['s', '2775', 8],
      ['s/a', '755', 8],
      ['s/a/b', '755', 0],
    ]);
  });

  it('repeats a file of the base that a hard link of the archive names', () => {
    const base = sourceOf('opt/', 'opt/a');
    const plan = createFilePlan(base.view, 0);
    const [link] = tree('b');
    const archive = archiveOf(sourceOf(), [
      { ...(link as TreeEntry), type: 'hardlink', link: 'a', mode: 0o600 },
    ]);
    const targets = plan.linkTargets(archive, '/opt');
    expect(shape(targets)).toEqual(['file opt/a']);
    plan.unpack(archive, '/opt', { owner: undefined, lower: base, targets });
    const { tree: planned, content } = plan.finish();
    expect(shape(planned)).toEqual(['dir opt', 'file opt/a', 'hardlink opt/b -> opt/a']);
    const file = planned.find(({ path }) => path === 'opt/a') as TreeEntry;
    expect(file.mode).toBe(0o600);
    expect(content(file).path).toBe('/source/opt/a');
  });

  it('throws ARCHIVE_INVALID when a hard link names nothing', () => {
    const plan = createFilePlan(createTreeView([tree('opt/')]), 0);
    const [link] = tree('b');
    const archive = archiveOf(sourceOf(), [{ ...(link as TreeEntry), type: 'hardlink', link: 'a' }]);
    expect(() => plan.unpack(archive, '/opt', { owner: undefined })).toThrow(
      expect.objectContaining({ code: 'ARCHIVE_INVALID' }),
    );
  });
});
