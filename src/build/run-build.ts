import type { LayerStore, StoreRoot } from '../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import type { Executor } from '../executor/types.ts';
import type { ExportImage } from '../exporter/types.ts';
import { convertDockerfile } from '../frontend/convert.ts';
import type { FrontendResult } from '../frontend/types.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../layer/layer-id.ts';
import type { Definition } from '../llb/definition.ts';
import { createBinder } from '../solver/ops/bind.ts';
import { createSolver } from '../solver/solver.ts';
import type { EventSink, Result } from '../solver/types.ts';
import { createArchiveReader } from './archives.ts';
import { type DefinitionFiles, readDefinition, readIgnoreFile } from './definition-files.ts';
import { type Engine, openEngine } from './engine.ts';
import { graphNeeds } from './graph-needs.ts';
import { createImageSources, type ImageSources } from './image-resolver.ts';
import { createInternalSteps, type InternalSteps } from './internal-steps.ts';
import { createLocalSources, type LocalSources } from './local-files.ts';
import type { NormalOptions } from './normalise.ts';
import { createInlineFiles, createOpDeps } from './op-deps.ts';
import type { BuildResult } from './options.ts';
import { blobOptions, isImageOutput, writeOutputs } from './outputs.ts';
import { CACHE_SALT } from './version.ts';

export interface BuildRun {
  readonly result: BuildResult;
  /** What was read, for a record of this build. */
  readonly trace: BuildTrace;
}

export interface BuildTrace {
  readonly startedMs: number;
  readonly files: DefinitionFiles;
  readonly local: LocalSources;
  readonly image: ExportImage | undefined;
  readonly options: NormalOptions;
  readonly root: StoreRoot;
  /** Names of base images that stand in the store, and their manifests. */
  readonly baseTags: Readonly<Record<string, Digest>>;
  /** Layouts that base images came from. */
  readonly layoutDirs: readonly string[];
}

interface BuildContext {
  readonly options: NormalOptions;
  readonly engine: Engine;
  readonly emit: EventSink;
  readonly steps: InternalSteps;
  readonly images: ImageSources;
  readonly signal: AbortSignal;
  readonly fetches: Map<Digest, (bytes: number) => void>;
}

/** One build from texts to outputs. Everything that was started has stopped when it returns. */
export async function runBuild(
  options: NormalOptions,
  emit: EventSink,
  signal: AbortSignal,
): Promise<BuildRun> {
  const startedMs = Date.now();
  const steps = createInternalSteps(emit, Date.now);
  const files = await steps.run('[internal] load build definition from Dockerfile', () =>
    readDefinition(options),
  );
  const fetches: BuildContext['fetches'] = new Map();
  await using engine = await openEngine({
    root: options.root,
    ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
    env: options.env,
    signal,
    onFetch: ({ digest }, bytes) => fetches.get(digest)?.(bytes),
    onDevicesLeftOut: (paths) => emit({ kind: 'warning', time: Date.now(), message: devicesLeftOut(paths) }),
  });
  const images = createImageSources(
    {
      content: engine.content,
      index: engine.index,
      hasLayer: engine.layers.available,
      registry: engine.registry,
    },
    { pull: options.pull, contexts: options.buildContexts ?? {}, cwd: options.cwd, signal },
  );
  const context: BuildContext = { options, engine, emit, steps, images, signal, fetches };
  const front = await convert(context, files);
  knowBaseLayers(context, front.definition);
  for (const { message, url, rule } of front.warnings) {
    emit({
      kind: 'warning',
      time: Date.now(),
      message: `${rule}: ${message}`,
      ...(url === '' ? {} : { url }),
    });
  }
  const attempt = (): Promise<Solved> => solveAndExport(context, front, startedMs);
  const solved = await attempt().catch((error: unknown) => {
    // A blob that turned out damaged is dropped, and what depended on it is made anew: once.
    if (!dropDamaged(error, engine.layers) || signal.aborted) throw error;
    return attempt();
  });
  const { image, local, counts } = solved;
  return {
    result: {
      ...(image === undefined
        ? {}
        : {
            digest: image.manifest.digest,
            configDigest: image.configDescriptor.digest,
            descriptor: image.manifest,
          }),
      config: image?.config ?? front.config,
      names: options.names.map(({ normal }) => normal),
      cachedSteps: counts.cached,
      totalSteps: counts.total,
    },
    trace: { startedMs, files, local, image, options, root: engine.root, ...images.used() },
  };
}

async function convert(context: BuildContext, files: DefinitionFiles): Promise<FrontendResult> {
  const { options, images, signal, steps } = context;
  return convertDockerfile({
    dockerfile: files.dockerfile,
    ...(files.ignoreFile === undefined ? {} : { ignoreFile: files.ignoreFile }),
    buildArgs: options.buildArgs ?? {},
    ...(options.target === undefined ? {} : { target: options.target }),
    labels: options.labels ?? {},
    targetPlatform: options.targetPlatform,
    buildPlatform: options.buildPlatform,
    noCache: options.noCache === true ? true : (options.noCacheFilter ?? false),
    localContexts: Object.fromEntries(
      Object.entries(options.contextDirs).map(([name, dir]) => [name, readIgnoreFile(dir)]),
    ),
    imageContexts: Object.keys(options.buildContexts ?? {}).filter((name) => !(name in options.contextDirs)),
    network: options.network ?? 'default',
    extraHosts: options.addHosts ?? [],
    ulimits: options.ulimits ?? [],
    ...(options.shmSize === undefined ? {} : { shmSize: options.shmSize }),
    ...(options.epochSec === undefined ? {} : { sourceDateEpoch: options.epochSec }),
    resolver: {
      resolve: (name, platform, abort) =>
        steps.run(`[internal] load metadata for ${name}`, () => images.resolve(name, platform, abort)),
    },
    signal,
  });
}

interface Solved {
  readonly image: ExportImage | undefined;
  readonly local: LocalSources;
  readonly counts: { readonly cached: number; readonly total: number };
}

async function solveAndExport(context: BuildContext, front: FrontendResult, nowMs: number): Promise<Solved> {
  const { options, engine, emit, signal } = context;
  const { definition, target } = front;
  const counts = { cached: 0, total: 0 };
  const counting: EventSink = (event) => {
    if (event.kind === 'vertex') counts.total++;
    else if (event.kind === 'cached') counts.cached++;
    emit(event);
  };
  const local = localSources(context, front);
  const executor = lazyExecutor(context);
  const archives = createArchiveReader(engine.root);
  const failed = new AbortController();
  const prefetch = createPrefetch({ ...context, signal: AbortSignal.any([signal, failed.signal]) }, front);
  const inline = createInlineFiles(engine.root);
  const deps = createOpDeps({
    ...{ options, engine, front, signal, local, archives, inline },
    executor: executor.get,
    imageLayers: (vertex, diffIds) => imageLayers(context, vertex, diffIds),
  });
  try {
    const solver = createSolver(
      definition,
      { cache: engine.keys, bind: createBinder(definition, deps), emit: counting, now: Date.now },
      {
        jobs: options.jobs,
        explain: options.explain === true,
        salt: CACHE_SALT,
        onResult: (vertex, result) => prefetch.start(vertex, result),
      },
    );
    const { layers } = target === undefined ? { layers: [] } : await solver.solve(target, signal);
    local.save();
    const { steps } = context;
    const image = await writeOutputs({ options, engine, front, layers, steps, signal, nowMs });
    return { image, local, counts };
  } catch (error) {
    failed.abort(new OcibuildError('CANCELLED', 'Cannot finish the layer: the build failed'));
    throw error;
  } finally {
    await prefetch.settled();
    await engine.layers.settled();
    await executor.close();
    archives.close();
    inline.close();
  }
}

function localSources({ engine, options, steps, signal }: BuildContext, front: FrontendResult): LocalSources {
  return createLocalSources({
    root: engine.root,
    dirs: { ...options.contextDirs, context: options.contextDir },
    definition: front.definition,
    signal,
    onScan: ({ name }, read) =>
      steps.runSync(
        name === 'context' ? '[internal] load build context' : `[context ${name}] load`,
        (step) => {
          const scan = read();
          step.status(`reading context: ${scan.entries.length} entries`, 0, 0);
          return scan;
        },
      ),
  });
}

/** The worker thread of RUN steps, started when the first of them is really needed. */
function lazyExecutor({ engine, options }: BuildContext): {
  get: () => Promise<Executor>;
  close: () => Promise<void>;
} {
  let executor: Promise<Executor> | undefined;
  const start = async (): Promise<Executor> => {
    if (process.getuid?.() !== 0) {
      throw new OcibuildError(
        'ROOTLESS_UNAVAILABLE',
        'Cannot run a RUN step: this process is neither root nor in a user namespace',
        {
          hint: 'build with the ocibuild command, which makes a user namespace for itself',
        },
      );
    }
    const { createRuncExecutor } = await import('../executor/runc.ts');
    const made = createRuncExecutor({
      ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
      runDir: engine.root.runDir,
      rootless: engine.rootless,
      ...(options.env.PATH === undefined ? {} : { searchPath: options.env.PATH }),
    });
    // The thread starts while the layers below the step are unpacked.
    made.prepare();
    return made;
  };
  return {
    get() {
      executor ??= start();
      return executor;
    },
    async close() {
      await (await executor?.catch(() => undefined))?.close();
    },
  };
}

/** Layers of the image are packed while later steps run. What fails here fails again where it is waited for. */
function createPrefetch(
  { engine, options, signal }: BuildContext,
  front: FrontendResult,
): { start(vertex: Digest, result: Result): void; settled(): Promise<void> } {
  const needs = graphNeeds(front.definition, front.target);
  const wanted = options.outputs.find(isImageOutput);
  const started = new Map<LayerId, Promise<unknown>>();
  return {
    start(vertex, { layers }) {
      if (wanted === undefined || !needs.isExported(vertex)) return;
      for (const id of layers) {
        if (id === EMPTY_LAYER || started.has(id)) continue;
        const packing = engine.layers.blob(id, blobOptions(wanted), signal);
        started.set(
          id,
          packing.catch(() => undefined),
        );
      }
    },
    async settled() {
      await Promise.all(started.values());
    },
  };
}

/** Layers of base images may be asked for below a cached step, which never runs the vertex of the image: where they
 * can be had now counts, not where an earlier build had them from. */
function knowBaseLayers(context: BuildContext, { vertices }: Definition): void {
  for (const { digest, op } of vertices.values()) {
    if (op.kind === 'source' && op.source.type === 'image') imageLayers(context, digest, op.source.diffIds);
  }
}

function imageLayers(
  { images, engine, emit, fetches }: BuildContext,
  vertex: Digest,
  diffIds: readonly Digest[],
): LayerId[] {
  return images.layersOf(diffIds).map(({ diffId, descriptor, origin }) => {
    fetches.set(descriptor.digest, fetchReporter(descriptor, vertex, emit));
    return engine.layers.addBase({ diffId, descriptor, origin });
  });
}

function fetchReporter(
  { digest, size }: Descriptor,
  vertex: Digest,
  emit: EventSink,
): (bytes: number) => void {
  return (current) =>
    emit({
      kind: 'status',
      time: Date.now(),
      vertex,
      id: digest,
      current,
      total: size,
      ...(current >= size ? { done: true } : {}),
    });
}

function devicesLeftOut([first = '', ...more]: readonly string[]): string {
  const others = more.length === 0 ? '' : ` and ${more.length} more`;
  return `Cannot make the device "${first}"${others} without root: RUN steps do not see it, the image keeps it`;
}

/** True when the error named a damaged blob, which is now gone from the store. */
function dropDamaged(error: unknown, layers: LayerStore): boolean {
  if (!isOcibuildError(error)) return false;
  if (!['BLOB_DIGEST_MISMATCH', 'BLOB_SIZE_MISMATCH', 'LAYER_INVALID'].includes(error.code)) return false;
  const { digest } = error.details;
  if (typeof digest !== 'string') return false;
  layers.dropBlob(digest as Digest);
  return true;
}
