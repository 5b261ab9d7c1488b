import type { LayerStore, StoreRoot } from '../cache/types.ts';
import { isOcibuildError } from '../errors/error.ts';
import type { SourceFile } from '../errors/source.ts';
import type { LintWarning } from '../frontend/types.ts';
import type { Digest } from '../image/types.ts';
import type { EventSink } from '../solver/types.ts';
import { isLostLayer } from './cache/lost-layers.ts';
import type { SharedCache, SharedCacheDeps } from './cache/shared-cache.ts';
import { type Engine, type EngineOptions, openEngine } from './engine.ts';
import { sweepKeptSteps } from './failed/kept-steps.ts';
import { createFrontendContext } from './frontend-context.ts';
import { createBuildGraph, distinct } from './graph.ts';
import { createRecorder, type Recorder } from './history/recorder.ts';
import { createBaseLayers, type FetchReports } from './inputs/base-layers.ts';
import { type DefinitionFiles, readDefinition } from './inputs/definition-files.ts';
import { afterIdle, createFetchSteps } from './inputs/fetch-step.ts';
import { createImageSources } from './inputs/image-resolver.ts';
import { type LocalSources, localTrees } from './inputs/local-files.ts';
import { isLocalDefinition, loadMainContext } from './inputs/main-context.ts';
import { createRemoteSources, isPinnedBuild } from './inputs/remote-sources.ts';
import { checkSecretFiles } from './inputs/secrets.ts';
import { gitLabels } from './inputs/vcs.ts';
import { createInternalSteps } from './internal-steps.ts';
import { readHeldLock } from './lock/lock.ts';
import { lockedFiles } from './lock/locked.ts';
import type { NormalOptions } from './normalise.ts';
import type { BuildResult } from './options.ts';
import { carriesAttestations } from './outputs/attest-options.ts';
import type { Attester } from './outputs/attester.ts';
import type { BuildRecord } from './outputs/build-facts.ts';
import { checkWritable } from './outputs/writable-places.ts';
import { checkDefinition, checkSources, policedRemotes, policedSource } from './policy/policed-sources.ts';
import { readSourceRules } from './policy/source-rules.ts';
import { startGcIfDue } from './prune/auto-gc.ts';
import { forgetAnswers } from './remember.ts';
import type { Held } from './session/types.ts';
import { contextDirsOf, type SolveContext, solveAndExport } from './solve-build.ts';
import { readEpoch } from './source-epoch.ts';
import { type BuiltTarget, resultOfAll } from './targets.ts';

export interface BuildRun {
  readonly result: BuildResult;
  /** What was read, for a record of this build. */
  readonly trace: BuildTrace;
}

export interface BuildTrace {
  readonly startedMs: number;
  readonly files: DefinitionFiles;
  readonly local: LocalSources;
  /** Nothing that was read can be another thing tomorrow without a trace on the disk. */
  readonly pinned: boolean;
  readonly targets: readonly BuiltTarget[];
  readonly options: NormalOptions;
  readonly root: StoreRoot;
  /** Names of base images that stand in the store, and their manifests. */
  readonly baseTags: Readonly<Record<string, Digest>>;
  /** Layouts that base images came from. */
  readonly layoutDirs: readonly string[];
}

export interface RunOptions {
  readonly emit: EventSink;
  readonly signal: AbortSignal;
  /** What earlier builds of a session left. */
  readonly held?: Held;
}

/** What a wrong flag names is found out before any step has run. */
async function checkNamed(given: NormalOptions, signal: AbortSignal): Promise<void> {
  const { secrets = {}, ssh = {}, outputs, env, cwd } = given;
  checkWritable(given);
  checkSecretFiles(secrets, cwd);
  if (Object.keys(ssh).length > 0) (await import('./inputs/ssh-agent.ts')).checkSshSources(ssh, cwd);
  const loaded = outputs.find((output) => output.type === 'docker' && output.dest === undefined);
  if (loaded !== undefined) await (await import('./outputs/output-daemon.ts')).daemonOf(loaded, env, signal);
}

/** One build from texts to outputs. Everything that was started has stopped when it returns. */
export async function runBuild(given: NormalOptions, options: RunOptions): Promise<BuildRun> {
  const startedMs = Date.now();
  const recorder = createRecorder(given, startedMs);
  const emit: EventSink = (event) => {
    recorder.event(event);
    options.emit(event);
  };
  try {
    const run = await runRecorded(given, { ...options, emit, recorder, startedMs });
    recorder.end({ result: run.result });
    return run;
  } catch (error) {
    recorder.end({ error });
    throw error;
  } finally {
    // The store is closed, outputs are there; a build that failed on a full disk needs it most.
    startGcIfDue(given.root, given.gc, given.env);
  }
}

async function runRecorded(
  given: NormalOptions,
  {
    emit,
    signal,
    held,
    recorder,
    startedMs,
  }: RunOptions & { readonly recorder: Recorder; readonly startedMs: number },
): Promise<BuildRun> {
  await checkNamed(given, signal);
  const rules = readSourceRules(given);
  checkDefinition(rules, given);
  const steps = createInternalSteps(emit, Date.now);
  // Before the store is made: a wrong directory leaves no trace.
  const early = isLocalDefinition(given)
    ? await steps.run('[internal] load build definition from Dockerfile', () => readDefinition(given))
    : undefined;
  if (early !== undefined) held?.onFiles(early.looked);
  const fetches: FetchReports = new Map();
  using fetchSteps = createFetchSteps({ emit, now: Date.now, soon: afterIdle });
  const onOtherFetch = fetchSteps.step('cached layers');
  const onWarning = (message: string): void => emit({ kind: 'warning', time: Date.now(), message });
  let shared: SharedCache | undefined;
  const how: EngineOptions = {
    root: given.root,
    ...(given.runtime === undefined ? {} : { runtime: given.runtime }),
    env: given.env,
    signal,
    caches: [...(given.cacheFrom ?? []), ...(given.cacheTo ?? [])],
    onFetch(descriptor, bytes) {
      const report = fetches.get(descriptor.digest);
      if (report === undefined) onOtherFetch(descriptor, bytes);
      else report(bytes);
    },
    onLost: (digest, origin) => shared?.forget(digest, origin),
    onWarning,
    onDevicesLeftOut: (paths) => onWarning(devicesLeftOut(paths)),
  };
  await using own = held === undefined ? await openEngine(how) : undefined;
  const engine = own ?? (await (held as Held).open(how));
  recorder.open(engine.root.dir);
  sweepKeptSteps(engine);
  shared = await openShared(given, { engine, steps, emit, signal });
  await using _shared = shared;
  using remote = policedRemotes(createRemoteSources(engine, given, { emit, memory: held?.remotes }), rules);
  const main =
    early === undefined
      ? await loadMainContext({ options: given, engine, remote, steps, signal })
      : { files: early, source: undefined, contextDir: given.contextDir };
  const locked = given.locked === true ? readHeldLock(main.files) : undefined;
  const images = createImageSources(
    {
      content: engine.content,
      index: engine.index,
      hasLayer: engine.layers.available,
      registry: engine.registry,
    },
    {
      ...{ pull: given.pull, contexts: given.buildContexts ?? {}, cwd: given.cwd, signal, rules },
      ...(locked === undefined ? {} : { locked }),
    },
  );
  const epochSec = await readEpoch(given, { main, images, steps, remote, signal });
  const dir = main.source === undefined ? main.contextDir : '';
  const labels = {
    ...given.labels,
    ...(await gitLabels({ dir, dockerfile: main.files.path }, given.env, signal)),
  };
  const options: NormalOptions = { ...given, labels, epochSec, contextDir: main.contextDir };
  const frontendContext = createFrontendContext(main, { options, images, steps, signal });
  const failed: LintWarning[] = [];
  const graph = await createBuildGraph(options, {
    ...frontendContext,
    onFailedWarnings: (warnings) => failed.push(...warnings),
  }).finally(() => emitWarnings(distinct(failed), main.files.dockerfile, emit));
  held?.onTrees(localTrees(graph.definition, { dirs: contextDirsOf(options), storeDir: engine.root.dir }));
  const baseLayers = createBaseLayers({ images, layers: engine.layers, fetches, fetchSteps });
  baseLayers.know(graph.definition);
  emitWarnings(graph.warnings, main.files.dockerfile, emit);
  checkSources(rules, graph.definition);
  // What the lock file has are names as the rules have them.
  const files = locked === undefined ? remote.files : lockedFiles(locked, remote.files);
  const context: SolveContext = {
    ...{ options, engine, emit, steps, baseLayers, shared, signal, recorder },
    ...(held === undefined ? {} : { memory: held.contexts }),
    recover: createRecovery(engine.layers, shared),
    remote: { ...remote, files: (source) => files(policedSource(rules, source)) },
    nowMs: startedMs,
    attester: await attesterOf(options, engine, {
      options,
      main,
      images,
      remote,
      rules,
      locked,
      startedMs,
      signal,
    }),
  };
  warnOfDocker(options, emit);
  const { targets, local, counts } = await solveAndExport(context, graph).finally(() =>
    forgetAnswers(given, engine.root.dir),
  );
  return {
    result: resultOfAll(targets, { ...counts, startedMs }),
    trace: {
      ...{ startedMs, local, targets, options },
      files: main.files,
      // The lock file is among the files that were looked at.
      pinned: locked !== undefined || isPinnedBuild(options, graph.definition),
      root: engine.root,
      ...images.used(),
    },
  };
}

/** Nothing of it is loaded where nothing is to be said about the images. */
async function attesterOf(
  options: NormalOptions,
  engine: Engine,
  record: BuildRecord,
): Promise<Attester | undefined> {
  const { attest, outputs, resultProvenance } = options;
  if (resultProvenance === undefined && !outputs.some((output) => carriesAttestations(output, attest))) {
    return undefined;
  }
  const { createAttester } = await import('./outputs/attester.ts');
  return createAttester(options, { engine, record });
}

function warnOfDocker({ attest, outputs }: NormalOptions, emit: EventSink): void {
  const isAsked = attest.provenance !== undefined || attest.sboms.length > 0;
  if (!isAsked || !outputs.some(({ type }) => type === 'docker')) return;
  const message = 'Docker archives hold no attestations: the output of type docker is written without them';
  emit({ kind: 'warning', time: Date.now(), message });
}

function emitWarnings(warnings: readonly LintWarning[], dockerfile: SourceFile, emit: EventSink): void {
  for (const { message, url, rule, range, lines = range, description, file = dockerfile } of warnings) {
    const detail = description === undefined ? {} : { detail: description };
    const place = { start: lines.start.line, end: lines.end.line };
    emit({
      kind: 'warning',
      time: Date.now(),
      message: `${rule}: ${message}${url === '' ? '' : ` (line ${range.start.line})`}`,
      ...(url === '' ? {} : { url, finding: { ...detail, file, range: place } }),
    });
  }
}

function devicesLeftOut([first = '', ...more]: readonly string[]): string {
  const others = more.length === 0 ? '' : ` and ${more.length} more`;
  return `Cannot make the device "${first}"${others} without root: RUN steps do not see it, the image keeps it`;
}

/** A build that shares no cache loads nothing of it. */
async function openShared(options: NormalOptions, deps: SharedCacheDeps): Promise<SharedCache | undefined> {
  const { cacheFrom = [], cacheTo = [] } = options;
  if (cacheFrom.length === 0 && cacheTo.length === 0) return undefined;
  return (await import('./cache/shared-cache.ts')).openSharedCache(options, deps);
}

/** A blob that turned out damaged is dropped, and what depended on it is made anew, once. A cached layer that is lost
 * is forgotten; there are as many tries as there are such layers. */
function createRecovery(layers: LayerStore, shared: SharedCache | undefined): (error: unknown) => boolean {
  let damaged = 0;
  return (error) => isLostLayer(error) || (damaged++ === 0 && dropDamaged(error, layers, shared));
}

/** True when the error named a damaged blob, which is now gone from the store. */
function dropDamaged(error: unknown, layers: LayerStore, shared: SharedCache | undefined): boolean {
  if (!isOcibuildError(error)) return false;
  if (!['BLOB_DIGEST_MISMATCH', 'BLOB_SIZE_MISMATCH', 'LAYER_INVALID'].includes(error.code)) return false;
  const { digest } = error.details;
  if (typeof digest !== 'string') return false;
  layers.dropBlob(digest as Digest);
  shared?.forget(digest as Digest);
  return true;
}
