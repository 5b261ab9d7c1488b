import { resolve } from 'node:path';
import { createCacheMounts } from '../cache/cache-mounts.ts';
import { OcibuildError } from '../errors/error.ts';
import { digestOf } from '../llb/definition.ts';
import { createBinder } from '../solver/ops/bind.ts';
import { createSolver } from '../solver/solver.ts';
import type { EventSink } from '../solver/types.ts';
import type { SharedCache, SolvedGraph } from './cache/shared-cache.ts';
import type { Engine } from './engine.ts';
import { createFailedSteps, warnOfUnknownSteps } from './failed/failed-steps.ts';
import type { BuildGraph } from './graph.ts';
import type { Recorder } from './history/recorder.ts';
import { createArchiveReader } from './inputs/archives.ts';
import type { BaseLayers } from './inputs/base-layers.ts';
import { type ContextMemory, createLocalSources, type LocalSources } from './inputs/local-files.ts';
import type { RemoteSources } from './inputs/remote-sources.ts';
import type { InternalSteps } from './internal-steps.ts';
import { createLazyExecutor } from './lazy-executor.ts';
import type { NormalOptions } from './normalise.ts';
import { createInlineFiles, createOpDeps } from './op-deps.ts';
import type { Attester } from './outputs/attester.ts';
import { writeOutputs } from './outputs/outputs.ts';
import { createPrefetch } from './prefetch.ts';
import type { BuiltTarget } from './targets.ts';
import { CACHE_SALT } from './version.ts';

export interface SolveContext {
  readonly options: NormalOptions;
  readonly engine: Engine;
  readonly emit: EventSink;
  readonly steps: InternalSteps;
  readonly baseLayers: BaseLayers;
  readonly remote: RemoteSources;
  /** Caches that other machines share. */
  readonly shared: SharedCache | undefined;
  /** Whether an error's reason is gone now, so that another try may go better. */
  readonly recover: (error: unknown) => boolean;
  readonly signal: AbortSignal;
  /** When the build began, ms since the epoch. */
  readonly nowMs: number;
  readonly attester: Attester | undefined;
  readonly recorder: Recorder;
  /** What earlier builds saw of contexts. */
  readonly memory?: ContextMemory;
}

export interface Solved {
  /** In the order of the graph's targets. */
  readonly targets: readonly BuiltTarget[];
  readonly local: LocalSources;
  readonly counts: { readonly cached: number; readonly total: number };
}

/** Solves the graph for all its targets and platforms at once, then writes outputs and caches. Everything that was
 * started has stopped when it returns. */
export async function solveAndExport(context: SolveContext, graph: BuildGraph): Promise<Solved> {
  warnOfUnknownSteps(context.options, graph.definition, context.emit);
  for (;;) {
    const solved = await tryOnce(context, graph);
    if (solved !== undefined) return solved;
  }
}

/** Undefined where another try may go better. */
async function tryOnce(context: SolveContext, graph: BuildGraph): Promise<Solved | undefined> {
  const { options, engine, emit, signal, steps, remote, baseLayers, shared, nowMs } = context;
  const { definition, roots } = graph;
  const counts = { cached: 0, total: 0 };
  const counting: EventSink = (event) => {
    if (event.kind === 'vertex') counts.total++;
    else if (event.kind === 'cached') counts.cached++;
    emit(event);
  };
  const local = localSources(context, graph);
  const executor = createLazyExecutor(engine, options);
  const archives = createArchiveReader(engine.root);
  const failed = new AbortController();
  const prefetch = createPrefetch(graph, {
    ...{ engine, options },
    signal: AbortSignal.any([signal, failed.signal]),
  });
  const inline = createInlineFiles(engine.root);
  const cacheMounts = createCacheMounts(engine.root, engine.db);
  const failedSteps = createFailedSteps({
    ...{ options, engine, steps, emit, signal },
    build: context.recorder.id,
  });
  const deps = createOpDeps({
    ...{ options, engine, graph, signal, local, remote, archives, inline },
    onSecret: context.recorder.hide,
    keepFailed: failedSteps.keep,
    cacheMounts: shared?.mounts(cacheMounts) ?? cacheMounts,
    executor: executor.get,
    imageLayers: baseLayers.of,
  });
  const solver = createSolver(
    definition,
    {
      cache: shared?.keys ?? engine.keys,
      bind: createBinder(definition, deps),
      emit: counting,
      now: Date.now,
    },
    {
      jobs: options.jobs,
      explain: options.explain === true,
      salt: CACHE_SALT,
      scope: scopeOf(options),
      wasBuilt: context.recorder.wasBuilt,
      onResult: (vertex, result) => prefetch.start(vertex, result),
    },
  );
  const solvedGraph: SolvedGraph = { definition, cacheMounts, keys: () => solver.keys(roots, signal) };
  let targets: readonly BuiltTarget[] | undefined;
  try {
    const wanted = [...new Set([...roots, ...graph.scanned])];
    const results = await solver.solve(wanted, signal);
    const layersOf = new Map(wanted.map((root, i) => [root, results[i]?.layers ?? []]));
    local.save();
    const inlineRecords = await shared?.inlineRecords(solvedGraph);
    targets = await writeOutputs(graph.targets, {
      ...{ options, engine, steps, signal, nowMs, attester: context.attester },
      ...(inlineRecords === undefined ? {} : { inlineRecords }),
      layersOf: (root) => (root === undefined ? [] : (layersOf.get(root) ?? [])),
    });
    await shared?.adopt(solvedGraph);
    await shared?.write(
      solvedGraph,
      roots.flatMap((root) => layersOf.get(root) ?? []),
    );
    return { targets, local, counts };
  } catch (error) {
    failed.abort(new OcibuildError('CANCELLED', 'Cannot finish the layer: the build failed'));
    await prefetch.settled();
    await engine.layers.settled();
    if (!signal.aborted && context.recover(error)) {
      await failedSteps.settle(undefined, deps);
      return undefined;
    }
    if (targets === undefined && !signal.aborted) await shared?.writeFinished(solvedGraph);
    await failedSteps.settle(signal.aborted ? undefined : error, deps);
    throw error;
  } finally {
    await prefetch.settled();
    await engine.layers.settled();
    await executor.close();
    archives.close();
    inline.close();
  }
}

/** What tells one project of a store from another; a digest, for records are shared with other machines. */
function scopeOf({ context, dockerfile = '', cwd }: NormalOptions): string {
  return digestOf({ context, dockerfile: resolve(cwd, dockerfile) }).slice(
    'sha256:'.length,
    'sha256:'.length + 16,
  );
}

/** The directory of each local source. */
export function contextDirsOf({ contextDirs, contextDir }: NormalOptions): Readonly<Record<string, string>> {
  return { ...contextDirs, context: contextDir };
}

function localSources(
  { engine, options, steps, signal, memory }: SolveContext,
  { definition }: BuildGraph,
): LocalSources {
  return createLocalSources({
    root: engine.root,
    dirs: contextDirsOf(options),
    definition,
    signal,
    ...(memory === undefined ? {} : { memory }),
    onScan: ({ name }, read) =>
      steps.run(
        name === 'context' ? '[internal] load build context' : `[context ${name}] load`,
        async (step) => {
          const scan = await read();
          step.status(`reading context: ${scan.entries.length} entries`, 0, 0);
          return scan;
        },
      ),
  });
}
