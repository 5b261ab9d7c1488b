import { describe, expect, it } from 'vitest';
import { EMPTY_LAYER } from '../../../../src/layer/layer-id.ts';
import { createTreeView } from '../../../../src/layer/tree/tree-view.ts';
import type { Tree } from '../../../../src/layer/types.ts';
import type { CopyAction, FileOp } from '../../../../src/llb/ops.ts';
import {
  bound,
  entry,
  execContext,
  keyParts,
  localOp,
  opDeps,
  resultParts,
  signal,
  stepOp,
  treeOf,
  type World,
} from './fixture.ts';

const COPY: CopyAction = {
  type: 'copy',
  from: 1,
  sources: [{ path: '*.ts', wildcard: true }],
  dest: '/app/',
};
const fileOp = (action: Partial<CopyAction> = {}, facts: Partial<FileOp> = {}): FileOp => ({
  kind: 'file',
  base: 0,
  actions: [{ ...COPY, ...action }],
  ...facts,
});

const FILES = treeOf('a.ts', 'b.ts', 'c.md');

/** COPY from a local directory onto a step. */
function fromLocal(op: FileOp = fileOp(), files: Tree = FILES, world: World = {}) {
  const { deps, recorded } = opDeps({ local: { context: files }, ...world });
  return { ...bound(op, [stepOp('base'), localOp('context')], deps), recorded };
}

/** COPY from a stage. */
function fromStep(op: FileOp, world: World = {}) {
  const { deps, recorded } = opDeps(world);
  return { ...bound(op, [stepOp('base'), stepOp('stage')], deps), recorded };
}

const localKey = (...args: Parameters<typeof fromLocal>) => keyParts(fromLocal(...args).op);

describe('bindFile() definition key', () => {
  it('counts the files that a pattern selects, not its text', async () => {
    const key = await localKey();
    expect(await localKey(fileOp({ sources: [{ path: '[ab].*', wildcard: true }] }))).toEqual(key);
    const named = ['a.ts', 'b.ts'].map((path) => ({ path, wildcard: false }));
    expect(await localKey(fileOp({ sources: named }))).toEqual(key);
    expect(await localKey(fileOp({ sources: [{ path: '*', wildcard: true }] }))).not.toEqual(key);
  });

  it('counts no file that is not selected, and no times', async () => {
    const key = await localKey();
    expect(await localKey(fileOp(), treeOf('a.ts', 'b.ts', 'c.md=new', 'd'))).toEqual(key);
    const touched = FILES.map((file) => ({ ...file, mtimeSec: 99 }));
    expect(await localKey(fileOp(), touched)).toEqual(key);
  });

  it.each<[string, Tree]>([
    ['content', treeOf('a.ts=new', 'b.ts', 'c.md')],
    ['name', treeOf('aa.ts=a.ts', 'b.ts', 'c.md')],
    ['mode', [entry('a.ts', { mode: 0o755 }), ...FILES.slice(1)]],
    ['attribute', [entry('a.ts', { xattrs: { 'user.x': 'AA==' } }), ...FILES.slice(1)]],
    ['type', treeOf('a.ts -> c.md', 'b.ts', 'c.md')],
    ['number', treeOf('a.ts', 'b.ts', 'c.md', 'd.ts')],
  ])('counts the %s of the selected files', async (_, files) => {
    expect(await localKey(fileOp(), files)).not.toEqual(await localKey());
  });

  it.each<[string, FileOp]>([
    ['owner', fileOp({ owner: { user: 1 } })],
    ['group', fileOp({ owner: { user: 1, group: 2 } })],
    ['mode', fileOp({ mode: 0o700 })],
    ['destination', fileOp({ dest: '/app' })],
    ['symbolic mode', fileOp({ mode: 'u+x' })],
    ['keeping of parents', fileOp({ parents: true })],
    ['unpacking', fileOp({ unpack: true })],
    ['base', fileOp({}, { base: -1 })],
  ])('counts the %s that the instruction says', async (_, op) => {
    expect(await localKey(op)).not.toEqual(await localKey());
  });

  it('counts what an exclusion leaves, not how it is written', async () => {
    const of = (...exclude: string[]) =>
      localKey(fileOp({ sources: [{ path: '', wildcard: false }], exclude }));
    expect(await of('*.md')).toEqual(await of('c.*', 'none'));
    expect(await of('*.md')).not.toEqual(await of('a.*'));
  });

  it('counts no path that may be missing and is', async () => {
    const of = (...paths: string[]) =>
      localKey(fileOp({ sources: paths.map((path) => ({ path, wildcard: false })), ifExists: true }));
    expect(await of('a.ts', 'none')).toEqual(await of('a.ts'));
    expect(await of('a.ts', 'b.ts')).not.toEqual(await of('a.ts'));
  });

  it('counts the time that directories get', async () => {
    expect(await localKey(fileOp(), FILES, { epochSec: 5 })).not.toEqual(await localKey());
  });

  it('tells which action selected a file', async () => {
    const action = (...paths: string[]): CopyAction => ({
      ...COPY,
      sources: paths.map((path) => ({ path, wildcard: false })),
    });
    const split = (first: string[], second: string[]) =>
      localKey(fileOp({}, { actions: [action(...first), action(...second)] }));
    expect(await split(['a.ts', 'b.ts'], ['c.md'])).not.toEqual(await split(['a.ts'], ['b.ts', 'c.md']));
  });

  it('counts the text of sources in a step, which is not solved yet', async () => {
    const of = (path: string) => keyParts(fromStep(fileOp({ sources: [{ path, wildcard: false }] })).op);
    expect(await of('a')).not.toEqual(await of('b'));
    expect(await of('a')).toEqual(await of('a'));
  });

  it('asks for the keys of steps, and replaces that of a local directory', () => {
    const { deps } = fromLocal().op.cacheMap();
    expect(deps.map((of) => of === undefined)).toEqual([true, false]);
  });
});

describe('bindFile() result key', () => {
  it('is that of the layer: what else the base holds does not count', async () => {
    const layers = {
      plain: treeOf('etc/', 'etc/x'),
      more: treeOf('etc/', 'etc/x=2', 'usr/'),
      taken: [entry('app/', { mode: 0o700 })],
    };
    const of = (base: string) =>
      resultParts(fromLocal(fileOp(), FILES, { layers }).op, [{ layers: [base] }, undefined]);
    expect(await of('more')).toEqual(await of('plain'));
    expect(await of('taken')).not.toEqual(await of('plain'));
  });

  it('counts an archive that is unpacked, for it holds times, and no file that is copied', async () => {
    const of = (unpack: boolean, content: string) => {
      const op = fileOp({ unpack, sources: [{ path: 'a.tar', wildcard: false }] });
      const { deps } = opDeps({ local: { context: treeOf(`a.tar=${content}`) } });
      const view = createTreeView([treeOf('f')]);
      const archive = {
        view,
        content: () => ({ path: '' }),
        foreignLinks: new Map(),
        entryAt: () => undefined,
      };
      const opened = { ...deps, archives: { open: async () => archive } };
      return resultParts(bound(op, [stepOp('base'), localOp('context')], opened).op, [
        { layers: [] },
        undefined,
      ]);
    };
    expect(await of(true, 'old')).not.toEqual(await of(true, 'new'));
    expect(await of(true, 'old')).toEqual(await of(true, 'old'));
    expect((await of(false, 'old')).map(({ name }) => name)).not.toContain('archive');
    expect((await of(true, 'old')).map(({ name }) => name)).toContain('archive');
  });

  it('counts what a step gave, by content', async () => {
    const op = fileOp({ sources: [{ path: 'f', wildcard: false }] });
    const layers = { one: treeOf('f=1', 'g'), same: treeOf('f=1', 'h'), other: treeOf('f=2', 'g') };
    const of = (layer: string) =>
      resultParts(fromStep(op, { layers }).op, [{ layers: [] }, { layers: [layer] }]);
    expect(await of('same')).toEqual(await of('one'));
    expect(await of('other')).not.toEqual(await of('one'));
  });
});

describe('bindFile().exec()', () => {
  const inputs = [{ layers: [] }, undefined];

  it('adds one layer of the files, owned by root', async () => {
    const files = FILES.map((file) => ({ ...file, uid: 7, gid: 8 }));
    const { op, recorded } = fromLocal(fileOp(), files);
    expect(await op.exec(inputs, execContext())).toEqual(['added-1']);
    const [layer] = recorded.added;
    expect(layer?.tree.map(({ path, uid, gid }) => [path, uid, gid])).toEqual([
      ['app', 0, 0],
      ['app/a.ts', 0, 0],
      ['app/b.ts', 0, 0],
    ]);
    expect(layer?.content(layer.tree[1] ?? entry('none'))).toEqual({ path: '/context/a.ts' });
  });

  it('keeps owners of a step, and looks names up in the base', async () => {
    const layers = { stage: [entry('f', { uid: 7, gid: 8 })], base: treeOf('etc/', 'etc/passwd') };
    const texts = { '/snapshots/base/etc/passwd': 'me:x:5:6::/:\n' };
    const sources = [{ path: 'f', wildcard: false }];
    const solved = [{ layers: ['base'] }, { layers: ['stage'] }];
    const kept = fromStep(fileOp({ sources }), { layers, texts });
    await kept.op.exec(solved, execContext());
    expect(kept.recorded.added[0]?.tree.at(-1)).toMatchObject({ path: 'app/f', uid: 7, gid: 8 });
    const named = fromStep(fileOp({ sources, owner: { user: 'me' } }), { layers, texts });
    await named.op.exec(solved, execContext());
    expect(named.recorded.added[0]?.tree.at(-1)).toMatchObject({ path: 'app/f', uid: 5, gid: 6 });
  });

  it('gives the empty layer when nothing changes', async () => {
    const mkdir: FileOp = {
      kind: 'file',
      base: 0,
      actions: [{ type: 'mkdir', path: '/app', mode: 0o755 }],
    };
    const { deps, recorded } = opDeps({ layers: { base: treeOf('app/') } });
    const { op } = bound(mkdir, [stepOp('base')], deps);
    expect(await op.exec([{ layers: ['base'] }], execContext())).toEqual([EMPTY_LAYER]);
    expect(recorded.added).toEqual([]);
  });

  it('writes inline files', async () => {
    const data = Buffer.from('hello').toString('base64');
    const mkfile: FileOp = {
      kind: 'file',
      base: -1,
      actions: [{ type: 'mkfile', path: '/f', mode: 0o600, data }],
    };
    const { deps, recorded } = opDeps({});
    const { op } = bound(mkfile, [], deps);
    await op.exec([], execContext());
    expect(recorded.added[0]?.tree).toEqual([entry('f=hello', { mode: 0o600 })]);
  });

  it('explains a miss by the files of the layer that differ', async () => {
    const layers = { before: treeOf('app/', 'app/a.ts=old', 'app/b.ts=b.ts') };
    const { op } = fromLocal(fileOp(), FILES, { layers });
    const record = { key: 'sha256:', kind: 'result', layers: ['before'], ingredients: [], name: '' } as const;
    expect(await op.explain?.(inputs, record, signal)).toEqual(['a.ts changed']);
  });
});

describe('bindFile().exec() for a result that only mounts show', () => {
  const SELECT = { from: 0, sources: [{ path: 'src', wildcard: false }], dest: '/mount' };
  const MOUNT = fileOp(SELECT, { base: -1, onlyMounted: true });
  const source = (size: number, changed = 0): Tree => [
    entry('src/'),
    ...Array.from({ length: size }, (_, i) => entry(`src/f${1000 + i}=${i < changed ? 'new' : 'old'}`)),
  ];
  const selected = (files: Tree): Tree =>
    files.map((file) => ({ ...file, path: file.path.replace('src', 'mount') }));
  const record = (...layers: string[]) =>
    ({ key: 'sha256:', kind: 'result', layers, ingredients: [], name: '' }) as const;
  const run = async (
    files: Tree,
    previous: readonly ReturnType<typeof record>[],
    layers: World['layers'] = {},
    mount = MOUNT,
  ) => {
    const { deps, recorded } = opDeps({ local: { context: files }, layers });
    const { op } = bound(mount, [localOp('context')], deps);
    return { result: await op.exec([undefined], { ...execContext(), previous }), added: recorded.added };
  };
  const whole = selected(source(2000));

  it('adds a layer of what differs from the whole of an earlier version', async () => {
    const { result, added } = await run(source(2000, 2), [record('whole', 'changed')], { whole });
    expect(result).toEqual(['whole', 'added-1']);
    expect(added).toMatchObject([{ snapshot: true, blob: undefined, previous: ['changed'] }]);
    expect(added[0]?.tree.map(({ path }) => path)).toEqual(['mount', 'mount/f1000', 'mount/f1001']);
    expect(added[0]?.content(added[0].tree[1] ?? entry('none'))).toEqual({ path: '/context/src/f1000' });
  });

  it('is the whole of an earlier version when that has the same files', async () => {
    const { result, added } = await run(source(2000), [record('whole', 'changed')], { whole });
    expect({ result, added }).toEqual({ result: ['whole'], added: [] });
  });

  it('is one layer when steps may stand on it or copy from it', async () => {
    const op = fileOp(SELECT, { base: -1 });
    const { result } = await run(source(2000, 2), [record('whole')], { whole }, op);
    expect(result).toEqual(['added-1']);
  });

  it.each<[string, Tree, readonly ReturnType<typeof record>[], World['layers']]>([
    ['nothing was made before', source(2000, 2), [], {}],
    ['the earlier whole has no snapshot', source(2000, 2), [record('whole')], {}],
    ['the files are few', source(500, 2), [record('whole')], { whole: selected(source(500)) }],
    ['more than a quarter differs', source(2000, 600), [record('whole')], { whole }],
    ['an earlier result has more than two layers', source(2000, 2), [record('whole', 'a', 'b')], { whole }],
  ])('is one layer when %s', async (_, files, previous, layers) => {
    const { result, added } = await run(files, previous, layers);
    expect(result).toEqual(['added-1']);
    expect(added[0]?.tree).toEqual(selected(files));
  });

  it('explains a miss by what all layers of an earlier version show', async () => {
    const changed = [entry('mount/'), entry('mount/f1000=new')];
    const { deps } = opDeps({
      local: { context: source(3, 2) },
      layers: { whole: selected(source(3)), changed },
    });
    const { op } = bound(MOUNT, [localOp('context')], deps);
    expect(await op.explain?.([undefined], record('whole', 'changed'), signal)).toEqual([
      'src/f1001 changed',
    ]);
  });
});
