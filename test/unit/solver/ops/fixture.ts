import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CacheMountWish, LayerStore, NewFilesLayer } from '../../../../src/cache/types.ts';
import type { ExitStatus, ProcessSpec, RunOptions } from '../../../../src/executor/types.ts';
import type { Digest } from '../../../../src/image/types.ts';
import { treeDigest } from '../../../../src/layer/tree/tree.ts';
import { createTreeView } from '../../../../src/layer/tree/tree-view.ts';
import type { Tree, TreeEntry } from '../../../../src/layer/types.ts';
import { createGraph, type Definition } from '../../../../src/llb/definition.ts';
import type { FileOp, LocalSource, Op } from '../../../../src/llb/ops.ts';
import { bindExec } from '../../../../src/solver/ops/exec.ts';
import { bindFile } from '../../../../src/solver/ops/file.ts';
import type { LocalFiles, OpDeps } from '../../../../src/solver/ops/types.ts';
import type { ExecContext, Ingredient, SolvedInputs, SolverOp } from '../../../../src/solver/types.ts';

export const signal: AbortSignal = new AbortController().signal;

export const sha256 = (text: string): Digest => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** `path` is a directory when it ends in a slash, a symlink when it holds ` -> `, a file with text after `=`. */
export function entry(text: string, facts: Partial<TreeEntry> = {}): TreeEntry {
  const base = { mode: 0o644, uid: 0, gid: 0, size: 0, mtimeSec: 0 };
  const [path = '', link] = text.split(' -> ');
  if (link !== undefined) return { ...base, path, type: 'symlink', mode: 0o777, link, ...facts };
  if (path.endsWith('/')) return { ...base, path: path.slice(0, -1), type: 'dir', mode: 0o755, ...facts };
  const [name = '', content = name] = path.split('=');
  const data = { size: content.length, digest: sha256(content) };
  return { ...base, path: name, type: 'file', ...data, ...facts };
}

export const treeOf = (...paths: readonly string[]): Tree => paths.map((path) => entry(path));

/** What stands behind the ops of a test. */
export interface World {
  /** Entries of local sources by name. */
  readonly local?: Readonly<Record<string, Tree>>;
  readonly layers?: Readonly<Record<string, Tree>>;
  /** Text of files that ops read, by `SNAPSHOT/PATH`. */
  readonly texts?: Readonly<Record<string, string>>;
  readonly epochSec?: number;
  readonly proxyEnv?: OpDeps['proxyEnv'];
  readonly secrets?: Readonly<Record<string, string>>;
  /** Ids of SSH agents. */
  readonly agents?: readonly string[];
  readonly run?: (spec: ProcessSpec, options: RunOptions) => ExitStatus;
}

export interface Recorded {
  readonly snapshots: string[];
  readonly added: NewFilesLayer[];
  readonly specs: ProcessSpec[];
  readonly ended: string[];
  readonly caches: (CacheMountWish & { readonly anew: boolean })[];
  /** What caches were started from. */
  readonly seeds: Tree[];
}

/** Real ops on a store, files and an executor that only keep what they are asked for. */
export function opDeps(world: World): { readonly deps: OpDeps; readonly recorded: Recorded } {
  const recorded: Recorded = { snapshots: [], added: [], specs: [], ended: [], caches: [], seeds: [] };
  const layers: Partial<LayerStore> = {
    available: () => true,
    hasSnapshot: (id) => world.layers?.[id] !== undefined,
    tree: async (id) => world.layers?.[id] ?? [],
    async snapshot(id) {
      recorded.snapshots.push(id);
      return `/snapshots/${id}`;
    },
    fileIn: (snapshot, path) => ({ path: `${snapshot}/${path}` }),
    async addFiles(layer) {
      recorded.added.push(layer);
      return `added-${recorded.added.length}`;
    },
    newMutable: () => ({
      upper: '/upper',
      work: '/work-dir',
      async commit() {
        recorded.ended.push('commit');
        return 'run-1';
      },
      async discard() {
        recorded.ended.push('discard');
      },
    }),
  };
  const deps: OpDeps = {
    layers: layers as LayerStore,
    executor: async () => ({
      async run(spec, options) {
        recorded.specs.push(spec);
        return world.run?.(spec, options) ?? { code: 0 };
      },
      async close() {},
    }),
    external: (source) => ({
      open: async () => localFiles((source.type === 'local' ? world.local?.[source.name] : undefined) ?? []),
    }),
    imageLayers: () => [],
    archives: { open: async () => undefined },
    forms: () => ({ snapshot: true, blob: undefined }),
    treeDigest,
    hashTree: async (tree) => tree,
    cacheMounts: {
      async acquire(wishes, { fill, anew }) {
        recorded.caches.push(...wishes.map(({ id, base, sharing }) => ({ id, base, sharing, anew })));
        const root = mkdtempSync(join(tmpdir(), 'ocibuild-unit-'));
        const dirs = wishes.map((_, i) => join(root, String(i)));
        for (const [i, wish] of wishes.entries()) await fill(wish, dirs[i] ?? root);
        return {
          dirs,
          release() {
            recorded.ended.push('release');
            rmSync(root, { recursive: true });
          },
        };
      },
    },
    secret: (id) => {
      const value = world.secrets?.[id];
      return value === undefined ? undefined : Buffer.from(value);
    },
    sshAgent: async (id) =>
      world.agents?.includes(id) === true
        ? {
            socket: `/agents/${id}`,
            async [Symbol.asyncDispose]() {
              recorded.ended.push(`agent ${id}`);
            },
          }
        : undefined,
    devices: async () => ({ env: [], nodes: [], mounts: [], additionalGids: [], hooks: {} }),
    writeTree: async (_dir, tree) => void recorded.seeds.push(tree),
    proxyEnv: world.proxyEnv ?? { host: [], given: [] },
    newRunId: () => 'run-id',
    epochSec: world.epochSec ?? 0,
    readFile: (path) => Buffer.from(world.texts?.[String(path)] ?? ''),
    isStackedFile: () => false,
    inlineFile: async (bytes) => ({ path: '/inline', digest: sha256(Buffer.from(bytes).toString()) }),
  };
  return { deps, recorded };
}

function localFiles(tree: Tree): LocalFiles {
  return {
    view: createTreeView([tree]),
    content: ({ path }) => ({ path: `/context/${path}` }),
    digests: async (entries) =>
      new Map(entries.flatMap(({ path, digest }) => (digest === undefined ? [] : [[path, digest] as const]))),
  };
}

export const localOp = (name: string): Op => {
  const source: LocalSource = { type: 'local', name, ignore: [] };
  return { kind: 'source', source };
};

/** Any step, to stand below another. */
export const stepOp = (name: string): Op => ({
  kind: 'source',
  source: {
    type: 'image',
    manifest: sha256(name),
    diffIds: [sha256(name)],
    platform: { os: 'linux', architecture: 'amd64' },
  },
});

/** Binds an op whose inputs are the given ones. */
export function bound(
  op: Op,
  inputs: readonly Op[],
  deps: OpDeps,
): { readonly op: SolverOp; readonly definition: Definition } {
  const graph = createGraph();
  const below = inputs.map((input, i) => graph.add(input, [], { name: `input ${i}` }));
  const digest = graph.add(op, below, { name: 'step' });
  const definition = graph.definition();
  const vertex = definition.vertices.get(digest);
  if (vertex === undefined) throw new RangeError('Cannot find the step in its own graph');
  if (op.kind === 'exec') return { op: bindExec(op, deps), definition };
  return { op: bindFile(op as FileOp, vertex, definition, deps), definition };
}

/** Everything a definition key covers of a step itself: its own ingredients and those of local inputs. */
export async function keyParts(op: SolverOp): Promise<readonly Ingredient[]> {
  const { own, deps } = op.cacheMap();
  const selected = await Promise.all(deps.map((of) => of?.(signal) ?? []));
  return [...own, ...selected.flat()];
}

export async function resultParts(op: SolverOp, inputs: SolvedInputs): Promise<readonly Ingredient[]> {
  return [...op.cacheMap().own, ...(await op.resultIngredients(inputs, signal))];
}

/** For `exec()`; keeps what the step logs. */
export function execContext(logged: string[] = []): ExecContext {
  return {
    vertex: { digest: sha256('vertex'), op: stepOp('x'), inputs: [] },
    meta: { name: '[1/1] RUN step' },
    signal,
    previous: [],
    log: (stream, data) => logged.push(`${stream} ${Buffer.from(data).toString()}`),
    status: () => undefined,
  };
}
