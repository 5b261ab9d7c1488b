import { formatPlatform } from '../image/platform.ts';
import type { ExecMount } from '../llb/ops.ts';
import { SLSA_V0, SLSA_V1 } from './statement.ts';
import { layerMap, maskAll, reachable, type StepGraph, sourceMap, stepGraph } from './step-graph.ts';
import type { BuildFacts, Predicate } from './types.ts';

/** What the parameters of a build mean is told in this file of the package. */
const BUILD_TYPE = 'pkg:npm/ocibuild#docs/attestations.md';

export interface ProvenanceOptions {
  /** `min` says nothing about arguments, secrets and steps. */
  readonly mode: 'min' | 'max';
  readonly version: 'v1' | 'v0.2';
  /** URI of who built; empty: not known. */
  readonly builderId: string;
  /** What the caller claims about the build. */
  readonly reproducible: boolean;
  readonly filename: string;
}

/** How an image was built. @see SLSA provenance v1, v0.2 */
export function makeProvenance(facts: BuildFacts, options: ProvenanceOptions): Predicate {
  const predicate = options.version === 'v1' ? slsaV1(facts, options) : slsaV0(facts, options);
  const predicateType = options.version === 'v1' ? SLSA_V1 : SLSA_V0;
  return { kind: 'provenance', predicateType, predicate, filename: options.filename };
}

function slsaV1(facts: BuildFacts, options: ProvenanceOptions): Predicate['predicate'] {
  const { config, builderPlatform, dependencies } = facts;
  const about = aboutBuild(facts, options);
  const { path, ...from } = config;
  return {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: { configSource: { ...from, path }, request: about.request },
      internalParameters: {
        ...(about.buildConfig === undefined ? {} : { buildConfig: about.buildConfig }),
        builderPlatform: formatPlatform(builderPlatform),
      },
      resolvedDependencies: dependencies,
    },
    runDetails: {
      builder: { id: options.builderId, version: { ocibuild: facts.toolVersion } },
      metadata: {
        invocationId: facts.invocationId,
        startedOn: timeOf(facts.startedMs),
        finishedOn: timeOf(facts.finishedMs),
        ...(Object.keys(about.metadata).length === 0 ? {} : { buildkit_metadata: about.metadata }),
        ...(about.hermetic ? { buildkit_hermetic: true } : {}),
        buildkit_completeness: {
          request: about.complete.request,
          resolvedDependencies: about.complete.dependencies,
        },
        ...(options.reproducible ? { buildkit_reproducible: true } : {}),
      },
    },
  };
}

function slsaV0(facts: BuildFacts, options: ProvenanceOptions): Predicate['predicate'] {
  const { config, builderPlatform, dependencies } = facts;
  const about = aboutBuild(facts, options);
  const { path, ...from } = config;
  return {
    builder: { id: options.builderId },
    buildType: BUILD_TYPE,
    materials: dependencies,
    invocation: {
      configSource: { ...from, entryPoint: path },
      parameters: about.request,
      environment: { platform: formatPlatform(builderPlatform) },
    },
    ...(about.buildConfig === undefined ? {} : { buildConfig: about.buildConfig }),
    metadata: {
      buildInvocationID: facts.invocationId,
      buildStartedOn: timeOf(facts.startedMs),
      buildFinishedOn: timeOf(facts.finishedMs),
      completeness: {
        parameters: about.complete.request,
        environment: true,
        materials: about.complete.dependencies,
      },
      reproducible: options.reproducible,
      ...(about.hermetic ? { 'https://mobyproject.org/buildkit@v1#hermetic': true } : {}),
      'https://mobyproject.org/buildkit@v1#metadata': about.metadata,
    },
  };
}

interface AboutBuild {
  readonly request: Readonly<Record<string, unknown>>;
  readonly buildConfig: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Whether everything that was given, and everything that was used, is told. */
  readonly complete: { readonly request: boolean; readonly dependencies: boolean };
  /** No step had a network, and everything that was used is told. */
  readonly hermetic: boolean;
}

function aboutBuild(facts: BuildFacts, { mode }: ProvenanceOptions): AboutBuild {
  const { definition, target, locals, vcs } = facts;
  const isMax = mode === 'max';
  const used = reachable(definition, target);
  const mounts = used.flatMap(({ op }) => (op.kind === 'exec' ? op.mounts : []));
  const told = isMax ? facts.args : withoutValues(facts.args);
  const given = { secrets: idsOf(mounts, 'secret'), ssh: idsOf(mounts, 'ssh') };
  const hasGiven = given.secrets.length + given.ssh.length > 0;
  const isWhole = Object.keys(told).length === Object.keys(facts.args).length && !hasGiven;
  const graph = stepGraph(definition, target);
  const usesLocal = used.some(
    ({ op }) => op.kind === 'source' && (op.source.type === 'local' || op.source.type === 'archive'),
  );
  const hasNetwork = used.some(({ op }) => op.kind === 'exec' && op.network !== 'none');
  return {
    request: {
      frontend: 'dockerfile.v0',
      ...(Object.keys(told).length === 0 ? {} : { args: maskAll(told) }),
      ...(isMax && given.secrets.length > 0 ? { secrets: given.secrets } : {}),
      ...(isMax && given.ssh.length > 0 ? { ssh: given.ssh } : {}),
      ...(locals.length === 0 ? {} : { locals: locals.map((name) => ({ name })) }),
    },
    buildConfig: isMax ? buildConfig(graph) : undefined,
    metadata: {
      ...(Object.keys(vcs).length === 0 ? {} : { vcs }),
      ...(isMax ? { source: sourceMap(facts, graph), layers: layerMap(facts, graph) } : {}),
    },
    complete: { request: isMax || isWhole, dependencies: !usesLocal },
    hermetic: !usesLocal && !hasNetwork,
  };
}

function buildConfig({ steps, ids }: StepGraph): unknown {
  return { llbDefinition: steps, digestMapping: Object.fromEntries(ids) };
}

/** Values of arguments and labels may be anybody's; which target and network there was are not. */
function withoutValues(args: BuildFacts['args']): BuildFacts['args'] {
  return Object.fromEntries(Object.entries(args).filter(([name]) => !/^(?:build-arg|label):/.test(name)));
}

/** Each id once; optional where no step must have it. */
function idsOf(mounts: readonly ExecMount[], type: 'secret' | 'ssh'): { id: string; optional?: true }[] {
  const required = new Map<string, boolean>();
  for (const mount of mounts) {
    if (mount.type !== type) continue;
    required.set(mount.id, mount.required || required.get(mount.id) === true);
  }
  return [...required].map(([id, needed]) => (needed ? { id } : { id, optional: true }));
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
