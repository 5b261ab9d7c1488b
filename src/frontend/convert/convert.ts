import { OcibuildError, throwIfAborted } from '../../errors/error.ts';
import type { SourceFile, SourceRef } from '../../errors/source.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { normalizePlatform } from '../../image/platform.ts';
import type { ContainerConfig, Digest, ImageConfig, Platform } from '../../image/types.ts';
import { createGraph } from '../../llb/definition.ts';
import type { SourceOp } from '../../llb/ops.ts';
import { createLinter, type Linter } from '../lint/linter.ts';
import { parseIgnore } from '../parse/dockerignore.ts';
import { createFaults, type Faults } from '../parse/faults.ts';
import type { ArgInstruction, Instruction } from '../parse/instructions.ts';
import { lineRange } from '../parse/lines.ts';
import { readProgram } from '../parse/read-file.ts';
import { resetConfig, resetImage, resetText } from '../parse/reset.ts';
import type { FrontendContext, FrontendResult, LintWarning, ResolvedImage } from '../types.ts';
import { isExported, unusedBuildArgs } from './args.ts';
import { convertCopy } from './convert-copy.ts';
import { convertMeta } from './convert-meta.ts';
import { convertRun } from './convert-run.ts';
import { type ReadyStage, type ResolvedPlan, resolvePlan } from './resolve.ts';
import { scannedRoots } from './scans.ts';
import { type BaseRef, type FileScope, planStages } from './stages.ts';
import {
  type Build,
  commit,
  countSteps,
  DEFAULT_PATH,
  type StageState,
  setEnv,
  sourceOf,
  stepPrefix,
} from './state.ts';

/**
 * Turns a Dockerfile into a build graph and the config of its image. Asks for base images through the context's
 * resolver only, and only for those that the target needs.
 * @throws DOCKERFILE_*, DOCKERIGNORE_INVALID, PLATFORM_INVALID, and what the resolver throws; several faults of
 * syntax come together as a MultiError
 */
export async function convertDockerfile(context: FrontendContext): Promise<FrontendResult> {
  throwIfAborted(context.signal);
  const linter = context.lint === 'off' ? undefined : createLinter(context);
  try {
    const program = await readProgram(context, context.dockerfile, linter?.file);
    const plan = planStages(context, program);
    const resolved = await resolvePlan(context, plan);
    const faults = createFaults();
    const build = createBuild(context, { plan: resolved, scope: plan.scope, faults, linter });
    const target = build.stageState(plan.target);
    faults.check();
    linter?.throwIfFailed();
    const scans = context.scan === true ? scannedRoots(build, plan.target) : undefined;
    const declared = [...resolved.stages.values()].flatMap((stage) => stage.instructions);
    return {
      definition: build.graph.definition(),
      target: target.root,
      ...(scans === undefined ? {} : { scans }),
      config: finishedConfig(target, context),
      baseHistory: target.baseHistory,
      warnings: [
        ...(linter?.warnings() ?? []),
        ...unusedWarnings(context, [
          ...[...declared, ...program.instructions].filter((each) => each.kind === 'ARG'),
          ...resolved.fileArgs,
        ]),
      ],
      stageNames: plan.stages.map(({ name, index }) => name ?? `stage-${index}`),
    };
  } catch (error) {
    // A fault does not make what was found before it less true.
    context.onFailedWarnings?.(linter?.warnings() ?? []);
    throw error;
  }
}

export interface BuildParts {
  readonly plan: ResolvedPlan;
  readonly scope: FileScope;
  readonly faults: Faults;
  readonly linter?: Pick<Linter, 'stage' | 'step'> | undefined;
}

/** Converts stages when they are asked for. */
export function createBuild(context: FrontendContext, { plan, scope, faults, linter }: BuildParts): Build {
  const graph = createGraph();
  const states = new Map<number, StageState>();
  const broken = new Set<number>();
  const local = (name: string, ignoreFile: SourceFile | undefined, shown: string): Digest => {
    const ignore = ignoreFile === undefined ? [] : parseIgnore(ignoreFile);
    const op: SourceOp = { kind: 'source', source: { type: 'local', name, ignore } };
    return graph.add(op, [], { name: shown });
  };
  const image = (resolved: ResolvedImage, platform: Platform, about: SourceRef): Digest | undefined => {
    const diffIds = resolved.config.rootfs.diff_ids;
    if (diffIds.length === 0) return undefined;
    const op: SourceOp = {
      kind: 'source',
      source: { type: 'image', manifest: resolved.manifest, diffIds, platform },
    };
    const ingredients = { image: resolved.name };
    return graph.add(op, [], { name: `FROM ${resolved.name}`, source: about, ingredients });
  };
  const build: Build = {
    ...scope,
    plan,
    context,
    graph,
    mainContext() {
      const { mainContext: source, ignoreFile } = context;
      if (source === undefined) return local('context', ignoreFile, '[internal] load build context');
      return graph.add({ kind: 'source', source }, [], { name: '[internal] load remote build context' });
    },
    sourceVertex(ref, about) {
      switch (ref.kind) {
        case 'scratch':
          return undefined;
        case 'stage':
          return build.stageState(ref.index).root;
        case 'local': {
          const shown = `[context ${ref.name}] load from client`;
          return local(ref.name, context.localContexts[ref.name]?.ignoreFile, shown);
        }
        case 'remote': {
          const source = context.remoteContexts?.[ref.name];
          if (source === undefined) throw new OcibuildError('INTERNAL', `Cannot find context "${ref.name}"`);
          const url = source.type === 'git' ? source.remote : source.url;
          return graph.add({ kind: 'source', source }, [], {
            name: `[context ${ref.name}] ${url}`,
            source: about,
          });
        }
        case 'image': {
          const platform = context.targetPlatform;
          return image(plan.image(ref.name, platform), platform, about);
        }
      }
    },
    stageState(index) {
      const known = states.get(index);
      if (known !== undefined) return known;
      const stage = plan.stages.get(index);
      if (stage === undefined) throw new OcibuildError('INTERNAL', `Cannot find stage ${index} of the plan`);
      const own = stage.scope === scope ? build : { ...build, ...stage.scope };
      const state = startStage(own, stage);
      linter?.stage(state);
      let sound = stage.base.kind !== 'stage' || !broken.has(stage.base.index);
      for (const instruction of sound ? stage.instructions : []) {
        linter?.step(state, instruction);
        const done = faults.attempt(() => {
          carryOut(own, state, instruction);
          return true;
        });
        // What is wrong behind a variable that could not be set may be wrong because of it.
        sound = done === true || (instruction.kind !== 'ENV' && instruction.kind !== 'ARG');
        if (!sound) break;
      }
      if (!sound) broken.add(index);
      states.set(index, state);
      return state;
    },
  };
  return build;
}

function carryOut(build: Build, state: StageState, instruction: Instruction): void {
  switch (instruction.kind) {
    case 'RUN':
      convertRun(build, state, instruction);
      return;
    case 'COPY':
    case 'ADD':
      convertCopy(build, state, instruction);
      return;
    default:
      convertMeta(build, state, instruction);
      return;
  }
}

function startStage(build: Build, stage: ReadyStage): StageState {
  const { base, platform } = stage;
  const parent = base.kind === 'stage' ? build.stageState(base.index) : undefined;
  const resolved = base.kind === 'image' ? build.plan.image(base.name, platform) : undefined;
  const image = resetImage(
    parent?.image ??
      (resolved === undefined ? emptyImage(build.context.targetPlatform) : inheritImage(resolved.config)),
    stage.reset,
  );
  const inherited = parent?.config ?? inheritConfig(image.config ?? {});
  const { OnBuild: _fired, ...config } = resetConfig(inherited, stage.reset);
  const env = [...(config.Env ?? [])];
  if (image.os !== 'windows' && !env.some((entry) => entry.startsWith('PATH='))) {
    env.push(`PATH=${DEFAULT_PATH}`);
  }
  const history = [...(parent?.history ?? resolved?.config.history ?? [])];
  const state: StageState = {
    stage,
    platform: parent?.platform ?? platform,
    root: parent?.root,
    env: stage.reset.includes('env') ? argsOnly(parent, env) : new Map(parent?.env),
    args: [...(parent?.args ?? [])],
    image,
    config: { ...config, Env: env },
    history,
    baseHistory: parent?.baseHistory ?? history.length,
    cmdSet: false,
    step: 0,
    steps: countSteps(stage),
    ignoreCache: ignoresCache(build.context.noCache, stage),
  };
  // As in Docker, the image's variables come before the ARGs of a base stage, whatever came last there.
  for (const entry of env) setEnv(state, ...splitEnv(entry));
  if (stage.reset.length > 0) commit(state, resetText(stage.reset));
  if (base.kind !== 'scratch' && base.kind !== 'stage') state.root = baseVertex(build, state, base);
  return state;
}

/** The build arguments of a base stage, which are no part of its image, and the variables of the image. */
function argsOnly(parent: StageState | undefined, env: readonly string[]): Map<string, string> {
  const args = (parent?.args ?? []).flatMap(({ key, value }): [string, string][] =>
    value === undefined || !isExported(key) ? [] : [[key, value]],
  );
  return new Map([...args, ...env.map(splitEnv)]);
}

function baseVertex(build: Build, state: StageState, base: BaseRef): Digest | undefined {
  const { stage } = state;
  state.step++;
  const about = sourceOf(state, stage.from);
  if (base.kind === 'local' || base.kind === 'remote') {
    const source = build.sourceVertex(base, about);
    commit(state, `FROM ${base.name}`, true);
    return build.graph.add(
      {
        kind: 'file',
        base: -1,
        actions: [{ type: 'copy', from: 0, sources: [{ path: '', wildcard: false }], dest: '/' }],
      },
      source === undefined ? [] : [source],
      { name: `${stepPrefix(build, state)}FROM ${base.name}`, source: about },
    );
  }
  if (base.kind !== 'image') return undefined;
  const { name, manifest, config } = build.plan.image(base.name, stage.platform);
  const diffIds = config.rootfs.diff_ids;
  // An image without layers is as empty as scratch.
  if (diffIds.length === 0) return undefined;
  return build.graph.add(
    { kind: 'source', source: { type: 'image', manifest, diffIds, platform: stage.platform } },
    [],
    { name: `${stepPrefix(build, state)}FROM ${name}`, source: about, ingredients: { image: name } },
  );
}

function splitEnv(entry: string): [string, string] {
  const equals = entry.indexOf('=');
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
}

function ignoresCache(noCache: FrontendContext['noCache'], { name, index, label }: ReadyStage): boolean {
  if (typeof noCache === 'boolean') return noCache;
  return noCache.some(
    (each) =>
      each.toLowerCase() === name || each === String(index) || each === `stage-${index}` || each === label,
  );
}

function emptyImage(platform: Platform): ImageConfig {
  return {
    ...normalizePlatform(platform),
    config: { WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
  };
}

/** What a child takes over from its base; other fields are the base's builder's own notes. */
function inheritImage(config: ImageConfig): ImageConfig {
  const keys = ['created', 'author', 'architecture', 'os', 'variant', 'os.version', 'os.features', 'config'];
  const kept = Object.fromEntries(keys.flatMap((key) => (config[key] ? [[key, config[key]]] : [])));
  const { architecture, os } = config;
  return { ...kept, architecture, os, rootfs: { type: 'layers', diff_ids: [] } };
}

function inheritConfig(config: ContainerConfig): ContainerConfig {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir } = config;
  const { Labels, StopSignal, ArgsEscaped, Healthcheck, OnBuild, Shell } = config;
  return compact({
    ...{ User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir },
    ...{ Labels, StopSignal, ArgsEscaped, Healthcheck, OnBuild, Shell },
  });
}

/** Empty values are left out, as other builders do. */
function compact(config: Readonly<Record<string, unknown>>): ContainerConfig {
  const isEmpty = (value: unknown) =>
    value === undefined ||
    value === null ||
    value === '' ||
    value === false ||
    (typeof value === 'object' && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(config).filter(([, value]) => !isEmpty(value)));
}

function finishedConfig(
  { image, config, history }: StageState,
  { labels, targetPlatform, platformOfBase = false }: FrontendContext,
): ImageConfig {
  const named = { ...config.Labels, ...labels };
  const sorted = Object.fromEntries(Object.entries(named).sort(([a], [b]) => (a < b ? -1 : 1)));
  const { variant: _base, ...rest } = image;
  const isOfBase = platformOfBase && image.os !== '' && image.architecture !== '';
  return {
    // What was asked for counts, whatever the base says it is.
    ...(isOfBase ? image : { ...rest, ...normalizePlatform(targetPlatform) }),
    config: compact({ ...config, Labels: sorted }),
    history,
  };
}

function unusedWarnings(context: FrontendContext, declared: readonly ArgInstruction[]): LintWarning[] {
  const unused = unusedBuildArgs(context, declared);
  if (unused.length === 0) return [];
  const names = declared.flatMap(({ args }) => args.map(({ key }) => key));
  const near = unused.flatMap((name) => didYouMean(name, names) ?? []);
  return [
    {
      rule: 'UnusedBuildArgs',
      message: [`One or more build-args [${unused.join(' ')}] were not consumed`, ...near].join('; '),
      url: '',
      range: lineRange(1, 1, 1),
    },
  ];
}
