import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../src/layer/types.ts';
import { digestOf } from '../../src/llb/definition.ts';
import type { CopyAction, ExecMount, ExecOp, FileOp, Owner } from '../../src/llb/ops.ts';
import { runs } from '../support/runs.ts';
import { bound, entry, keyParts, localOp, opDeps, resultParts, stepOp } from '../unit/solver/ops/fixture.ts';

const word = fc.stringMatching(/^[a-z]{1,3}$/);
const path = fc.array(word, { minLength: 1, maxLength: 2 }).map((parts) => parts.join('/'));

const mount: fc.Arbitrary<ExecMount> = fc.record(
  { type: fc.constant('tmpfs' as const), target: path, readonly: fc.boolean(), size: fc.nat(9) },
  { requiredKeys: ['type', 'target', 'readonly'] },
);

/** Extra hosts without addresses: those are no part of a key. */
const execOp: fc.Arbitrary<ExecOp> = fc.record(
  {
    kind: fc.constant('exec' as const),
    rootfs: fc.constant(0),
    args: fc.array(fc.string(), { minLength: 1, maxLength: 3 }),
    env: fc.array(
      fc.tuple(word, fc.string()).map(([name, value]) => `${name}=${value}`),
      { maxLength: 3 },
    ),
    cwd: path.map((at) => `/${at}`),
    user: fc.constantFrom('', 'root', '1000', '1000:1000'),
    network: fc.constantFrom('default' as const, 'none' as const, 'host' as const),
    security: fc.constantFrom('sandbox' as const, 'insecure' as const),
    mounts: fc.array(mount, { maxLength: 2 }),
    hostname: word,
    extraHosts: fc.array(
      word.map((name) => `${name}:1.2.3.4`),
      { minLength: 1, maxLength: 2 },
    ),
    ulimits: fc.array(fc.record({ name: word, soft: fc.nat(3), hard: fc.nat(3) }), { maxLength: 2 }),
    shmSize: fc.nat(9),
  },
  { requiredKeys: ['kind', 'rootfs', 'args', 'env', 'cwd', 'user', 'network', 'security', 'mounts'] },
);

const owner: fc.Arbitrary<Owner> = fc.record(
  {
    user: fc.oneof(fc.nat(9), word),
    group: fc.oneof(fc.nat(9), word),
  },
  { requiredKeys: [] },
);

/** Copies of one named directory of a step, or of a local one. */
const copyOf = (source: fc.Arbitrary<string>): fc.Arbitrary<CopyAction> =>
  fc.record(
    {
      type: fc.constant('copy' as const),
      from: fc.constant(1),
      sources: source.map((text) => [{ path: text, wildcard: false }]),
      dest: path.map((at) => `/${at}/`),
      owner,
      mode: fc.nat(0o7777),
      unpack: fc.constant(true as const),
    },
    { requiredKeys: ['type', 'from', 'sources', 'dest'] },
  );

const fileOp = (source: fc.Arbitrary<string>): fc.Arbitrary<FileOp> =>
  fc.record({
    kind: fc.constant('file' as const),
    base: fc.constant(0),
    actions: fc.array(copyOf(source), { minLength: 1, maxLength: 2 }),
  });

/** The files of the directory `d`; times are no part of a key, so they are always new. */
const files: fc.Arbitrary<readonly TreeEntry[]> = fc
  .uniqueArray(
    fc.record({
      name: word,
      content: fc.stringMatching(/^[xy]{0,2}$/),
      mode: fc.constantFrom(0o644, 0o755),
    }),
    { selector: ({ name }) => name, minLength: 1, maxLength: 4 },
  )
  .map((all) => [
    entry('d/'),
    ...all
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, content, mode }) => entry(`d/${name}=${content}`, { mode })),
  ]);

const touched = (tree: readonly TreeEntry[]): readonly TreeEntry[] =>
  tree.map((one, i) => ({ ...one, mtimeSec: one.mtimeSec + 1 + i }));

const same = (a: unknown, b: unknown): boolean => digestOf(a) === digestOf(b);

/** Two values that are often equal or nearly so, as a user's edits are. */
const pair = <T extends object>(one: fc.Arbitrary<T>): fc.Arbitrary<[T, T]> =>
  fc.oneof(
    fc.tuple(one, one),
    fc.tuple(one, one, fc.nat(20)).map(([a, b, at]): [T, T] => {
      const keys = Object.keys(b) as (keyof T)[];
      const field = keys[at % keys.length] as keyof T;
      return [a, { ...a, [field]: b[field] }];
    }),
    one.map((a): [T, T] => [a, structuredClone(a)]),
  );

describe('cache keys', () => {
  it('of exec ops are equal exactly when the ops are', async () => {
    const { deps } = opDeps({});
    const key = async (op: ExecOp) => digestOf(await keyParts(bound(op, [stepOp('base')], deps).op));
    await fc.assert(
      fc.asyncProperty(pair(execOp), async ([a, b]) => {
        expect((await key(a)) === (await key(b))).toBe(same(a, b));
      }),
      runs(80),
    );
  });

  it('of exec results are equal exactly when the layers below are', async () => {
    const { op } = bound(
      {
        kind: 'exec',
        rootfs: 0,
        args: ['x'],
        env: [],
        cwd: '/',
        user: '',
        network: 'none',
        security: 'sandbox',
        mounts: [],
      },
      [stepOp('base')],
      opDeps({}).deps,
    );
    const layers = fc.array(word, { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(layers, layers, async (a, b) => {
        const [one, two] = [await resultParts(op, [{ layers: a }]), await resultParts(op, [{ layers: b }])];
        expect(same(one, two)).toBe(same(a, b));
      }),
      runs(100),
    );
  });

  it('of copies from a step are equal exactly when the ops are', async () => {
    const { deps } = opDeps({});
    const key = async (op: FileOp) =>
      digestOf(await keyParts(bound(op, [stepOp('base'), stepOp('stage')], deps).op));
    await fc.assert(
      fc.asyncProperty(pair(fileOp(path)), async ([a, b]) => {
        expect((await key(a)) === (await key(b))).toBe(same(a, b));
      }),
      runs(80),
    );
  });

  it('of copies from a directory are equal exactly when ops and files are, whatever the times', async () => {
    const key = async (op: FileOp, tree: readonly TreeEntry[]) => {
      const { deps } = opDeps({ local: { context: tree } });
      return digestOf(await keyParts(bound(op, [stepOp('base'), localOp('context')], deps).op));
    };
    const given = fc.record({ op: fileOp(fc.constant('d')), tree: files });
    await fc.assert(
      fc.asyncProperty(pair(given), async ([a, b]) => {
        expect((await key(a.op, a.tree)) === (await key(b.op, touched(b.tree)))).toBe(same(a, b));
      }),
      runs(80),
    );
  });

  it('of copied results are equal exactly when the layers are', async () => {
    const op: FileOp = {
      kind: 'file',
      base: 0,
      actions: [{ type: 'copy', from: 1, sources: [{ path: 'd', wildcard: false }], dest: '/app/' }],
    };
    const key = async (tree: readonly TreeEntry[]) => {
      const { deps } = opDeps({ layers: { stage: tree } });
      const { op: step } = bound(op, [stepOp('base'), stepOp('stage')], deps);
      return digestOf(await resultParts(step, [{ layers: [] }, { layers: ['stage'] }]));
    };
    await fc.assert(
      fc.asyncProperty(files, files, async (a, b) => {
        expect((await key(a)) === (await key(touched(b)))).toBe(same(a, b));
        expect(await key(a)).toBe(await key(touched(a)));
      }),
      runs(100),
    );
  });
});
