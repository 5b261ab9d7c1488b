import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { canonicalJson, type Definition, type Vertex } from '../../llb/definition.ts';
import type { ExternalSource, FileOp } from '../../llb/ops.ts';
import { compileMode } from '../../util/symbolic-mode.ts';
import { runInTurns } from '../../util/turns.ts';
import type { Ingredient, SolvedInputs, SolverOp } from '../types.ts';
import { changedFiles } from './changed-files.ts';
import { changesOnly, treeOf } from './changed-layer.ts';
import {
  createFilePlan,
  type OpenedArchive,
  type PlannedLayer,
  type PlanOwner,
  type PlanSource,
} from './file-plan.ts';
import { layeredSource } from './layered-source.ts';
import { resolveOwner } from './owner.ts';
import { type Selected, selectSources } from './select.ts';
import { selectedTree, withDigests } from './selected-digests.ts';
import { sourceNames, type TakenFiles } from './source-names.ts';
import type { OpDeps } from './types.ts';

/**
 * COPY, ADD and WORKDIR: the layer is planned from facts (the files selected, what stands at the destination,
 * owners) without a mount or a runtime. The result key is the digest of the plan, so the layer is the same
 * whatever else changed in the base.
 */
export function bindFile(op: FileOp, vertex: Vertex, definition: Definition, deps: OpDeps): SolverOp {
  const externals = new Map<number, ExternalSource>();
  vertex.inputs.forEach((input, i) => {
    const source = definition.vertices.get(input)?.op;
    if (source?.kind === 'source' && source.source.type !== 'image') externals.set(i, source.source);
  });
  const base = (inputs: SolvedInputs): readonly LayerId[] => inputs[op.base]?.layers ?? [];
  let planned: Promise<PlannedLayer> | undefined;
  const taken: TakenFiles[] = [];
  const archives: string[] = [];
  const select = createSelector(deps);
  const plan = (inputs: SolvedInputs, signal: AbortSignal): Promise<PlannedLayer> => {
    planned ??= makePlan(op, {
      inputs,
      externals,
      base: base(inputs),
      deps,
      signal,
      taken,
      archives,
      select,
    });
    return planned;
  };
  return {
    cacheable: true,
    queue: 'io',
    cacheMap: () => ({
      own: [{ name: 'op', value: keyText(op, externals, deps.epochSec) }],
      deps: vertex.inputs.map((_, i) => {
        const external = externals.get(i);
        return (
          external && ((signal) => externalIngredients(op, { input: i, external, deps, signal, select }))
        );
      }),
    }),
    async resultIngredients(inputs, signal) {
      const { tree } = await plan(inputs, signal);
      // Times of files count only where they are content: in an archive.
      return [
        { name: 'layer', value: deps.treeDigest(tree) },
        ...archives.map((value): Ingredient => ({ name: 'archive', value })),
      ];
    },
    base,
    async explain(inputs, previous, signal) {
      // What else a step writes is in its text.
      const copies = op.actions.some(({ type }) => type === 'copy');
      if (!copies) return [];
      const [old, now] = await Promise.all([treeOf(previous, deps, signal), plan(inputs, signal)]);
      return old === undefined ? [] : changedFiles(old, now.tree, sourceNames(now, taken));
    },
    async exec(inputs, { signal, status, previous }) {
      const { tree, content } = await plan(inputs, signal);
      if (tree.length === 0) return [EMPTY_LAYER];
      const onEarlier = op.onlyMounted === true ? changesOnly : undefined;
      const stacked = await onEarlier?.({ tree, content }, { deps, previous, signal });
      if (stacked !== undefined) return stacked;
      const { snapshot, blob } = deps.forms(vertex.digest);
      const total = tree.reduce((sum, entry) => sum + entry.size, 0);
      const options = blob && {
        ...blob,
        onProgress: (bytes: number) => status('layer', Math.min(bytes, total), total),
      };
      const before = previous.flatMap((record) => record.layers);
      const layer = { tree, content, snapshot, blob: options, previous: before };
      return [await deps.layers.addFiles(layer, signal)];
    },
  };
}

interface PlanContext {
  readonly inputs: SolvedInputs;
  readonly externals: ReadonlyMap<number, ExternalSource>;
  readonly base: readonly LayerId[];
  readonly deps: OpDeps;
  readonly signal: AbortSignal;
  /** Gets what was taken from sources that no step makes. */
  readonly taken: TakenFiles[];
  /** Gets the digests of what was unpacked. */
  readonly archives: string[];
  readonly select: Selector;
}

type CopyAction = FileOp['actions'][number] & { readonly type: 'copy' };
type Source = Parameters<typeof withDigests>[1];
type Selector = (action: CopyAction, source: Source, signal: AbortSignal) => Promise<readonly Selected[]>;

/** Selects once for the key and for the plan: of 20,000 files it takes 80 ms each time. */
function createSelector(deps: OpDeps): Selector {
  const known = new Map<
    CopyAction,
    { readonly source: Source; readonly selected: Promise<readonly Selected[]> }
  >();
  return (action, source, signal) => {
    const before = known.get(action);
    if (before?.source === source) return before.selected;
    const found = selectSources(source.view, action.sources, action);
    const selected = withDigests(found, source, deps, signal);
    known.set(action, { source, selected });
    selected.catch(() => known.delete(action));
    return selected;
  };
}

async function makePlan(op: FileOp, context: PlanContext): Promise<PlannedLayer> {
  const { deps, signal, inputs, externals } = context;
  const below = await layeredSource(context.base, deps, signal);
  const plan = createFilePlan(below.view, deps.epochSec);
  for (const action of op.actions) {
    const owner = action.owner === undefined ? undefined : await resolveOwner(action.owner, below, deps);
    switch (action.type) {
      case 'mkdir':
        plan.mkdir(action.path, action.mode, owner);
        break;
      case 'mkfile': {
        const bytes = Buffer.from(action.data, 'base64');
        const file = await deps.inlineFile(bytes);
        plan.mkfile(action.path, { ...file, size: bytes.length }, { mode: action.mode, owner });
        break;
      }
      case 'copy': {
        const external = externals.get(action.from);
        const source =
          external === undefined
            ? await layeredSource(inputs[action.from]?.layers ?? [], deps, signal)
            : await deps.external(external).open(signal);
        const selected = await context.select(action, source, signal);
        if (external !== undefined) context.taken.push({ source, selected });
        const attributes = {
          mode: typeof action.mode === 'string' ? compileMode(action.mode) : action.mode,
          owner: owner ?? (external?.type === 'local' ? ROOT : undefined),
          directoryOwner: owner,
          keepsMode: action.keepsMode === true,
        };
        // One by one: what an archive unpacks counts for the sources after it.
        for (const one of selected) {
          const archive = action.unpack === true ? await archiveOf(one, source) : undefined;
          if (archive === undefined) await runInTurns(plan.copy([one], source, action.dest, attributes));
          else {
            context.archives.push(one.root.digest ?? '');
            await unpack(archive, action.dest, owner);
          }
        }
        break;
      }
    }
  }
  return plan.finish();

  async function archiveOf({ root }: Selected, source: PlanSource): Promise<OpenedArchive | undefined> {
    if (root.type !== 'file' || root.size === 0) return undefined;
    return deps.archives.open(source.content(root).path, signal);
  }

  async function unpack(archive: OpenedArchive, dest: string, owner: PlanOwner | undefined): Promise<void> {
    const linked = plan.linkTargets(archive, dest);
    await below.ready(linked);
    const targets = linked.length === 0 ? [] : await deps.hashTree(linked, below);
    plan.unpack(archive, dest, { owner, lower: below, targets });
  }
}

/** Files of a build context, a download or a checkout belong to root unless the instruction says otherwise. */
const ROOT = { uid: 0, gid: 0 } as const;

/** The op. Of external sources what they select counts, not how it was written; what they select of a step is not known
 * before that step is solved, so there the text counts. */
function keyText(op: FileOp, externals: ReadonlyMap<number, ExternalSource>, epochSec: number): string {
  const actions = op.actions.map((action) =>
    action.type === 'copy' && externals.has(action.from)
      ? { ...action, sources: undefined, exclude: undefined, ifExists: undefined }
      : action,
  );
  return canonicalJson({ ...op, actions, epochSec });
}

interface ExternalInput {
  readonly input: number;
  readonly external: ExternalSource;
  readonly deps: OpDeps;
  readonly signal: AbortSignal;
  readonly select: Selector;
}

/** What a copy takes from a source that no step makes, known before anything is solved: the source's identity and the
 * text of the selection, or the files selected. */
async function externalIngredients(
  op: FileOp,
  { input, external, deps, signal, select }: ExternalInput,
): Promise<readonly Ingredient[]> {
  const files = deps.external(external);
  const identity = await files.identity?.(signal);
  const source = identity === undefined ? await files.open(signal) : undefined;
  const ingredients: Ingredient[] = [...(identity ?? [])];
  for (const [i, action] of op.actions.entries()) {
    if (action.type !== 'copy' || action.from !== input) continue;
    if (source === undefined) {
      const { sources, exclude, ifExists } = action;
      ingredients.push({ name: `selection ${i}`, value: canonicalJson({ sources, exclude, ifExists }) });
      continue;
    }
    const selected = await select(action, source, signal);
    for (const one of selected) {
      const value = `${i} ${one.name} ${deps.treeDigest(selectedTree(one))}`;
      ingredients.push({ name: `files of "${one.root.path || '.'}"`, value });
    }
  }
  return ingredients;
}
