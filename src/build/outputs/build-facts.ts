import { randomUUID } from 'node:crypto';
import { layersAfter } from '../../attest/layer-chain.ts';
import { digestSet, imageDependency } from '../../attest/purl.ts';
import { reachable } from '../../attest/step-graph.ts';
import type { BuildFacts, Dependency } from '../../attest/types.ts';
import { redactCredentials } from '../../errors/redact.ts';
import type { SourceFile } from '../../errors/source.ts';
import { formatPlatform } from '../../image/platform.ts';
import type { Descriptor, Platform } from '../../image/types.ts';
import type { VertexMeta } from '../../llb/definition.ts';
import type { GitSource, HttpSource } from '../../llb/ops.ts';
import type { PlannedImage } from '../graph.ts';
import type { ImageSources } from '../inputs/image-resolver.ts';
import type { MainContext } from '../inputs/main-context.ts';
import type { RemoteSources } from '../inputs/remote-sources.ts';
import { readVcs } from '../inputs/vcs.ts';
import { type HeldLock, lockedSource } from '../lock/locked.ts';
import type { NormalOptions } from '../normalise.ts';
import type { SourceRules } from '../policy/source-rules.ts';
import { VERSION } from '../version.ts';

/** What a build knows about itself. */
export interface BuildRecord {
  readonly options: NormalOptions;
  readonly main: MainContext;
  readonly images: Pick<ImageSources, 'lockable'>;
  readonly remote: Pick<RemoteSources, 'downloads' | 'git'>;
  readonly rules?: SourceRules | undefined;
  readonly locked: HeldLock | undefined;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly signal: AbortSignal;
}

/**
 * Gives the facts of each image of one build: they have one invocation and one repository.
 * @param layers undefined: nobody asks for layers, nor for the repository, which takes git a while
 */
export type FactsOf = (
  image: { readonly planned: PlannedImage; readonly stage: string | undefined },
  layers: readonly (Descriptor | undefined)[] | undefined,
) => Promise<BuildFacts>;

export function createFacts(record: BuildRecord): FactsOf {
  const { options, main, startedMs, signal } = record;
  const invocationId = randomUUID();
  let vcs: ReturnType<typeof readVcs> | undefined;
  return async ({ planned: { front, platform }, stage }, layers) => {
    const { definition, target } = front;
    if (layers !== undefined) {
      vcs ??= readVcs(main.source === undefined ? main.contextDir : '', options.env, signal);
    }
    const used = reachable(definition, target).map(({ digest }) => definition.meta.get(digest));
    return {
      ...{ definition, target, invocationId, startedMs },
      builderPlatform: options.buildPlatform,
      config: await configSource(record),
      args: argsOf(options, { stage, platform }),
      locals: main.source === undefined ? ['context', 'dockerfile', ...Object.keys(options.contextDirs)] : [],
      dependencies: await dependenciesOf(record, front),
      sources: sourcesOf(main.files.dockerfile, used),
      layers: layersAfter(definition, target, layers ?? []),
      vcs: (await vcs) ?? {},
      toolVersion: VERSION,
      finishedMs: Date.now(),
    };
  };
}

/** Where the Dockerfile came from. */
async function configSource(record: BuildRecord): Promise<BuildFacts['config']> {
  const { main } = record;
  const path = main.files.dockerfile.name;
  if (main.source === undefined || main.source.type === 'archive') return { path };
  return { ...(await remoteDependency(record, main.source)), path };
}

/** The names under which frontends know the options. */
function argsOf(
  options: NormalOptions,
  { stage, platform }: { readonly stage: string | undefined; readonly platform: Platform },
): Record<string, string> {
  const { buildArgs = {}, labels = {}, buildContexts = {}, addHosts = [], env, network, noCache } = options;
  const isLocal = (name: string): boolean => name in options.contextDirs;
  const epoch = buildArgs.SOURCE_DATE_EPOCH === undefined ? env.SOURCE_DATE_EPOCH : undefined;
  const isOther = formatPlatform(platform) !== formatPlatform(options.buildPlatform);
  const prefixed = (prefix: string, record: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(record).map(([name, value]) => [`${prefix}:${name}`, value]);
  return {
    ...Object.fromEntries([
      ...prefixed('build-arg', epoch ? { ...buildArgs, SOURCE_DATE_EPOCH: epoch } : buildArgs),
      ...Object.entries(buildContexts).map(([name, value]): [string, string] => [
        `context:${name}`,
        isLocal(name) ? `local:${name}` : value,
      ]),
      ...prefixed('label', labels),
    ]),
    ...(stage === undefined ? {} : { target: stage }),
    ...(isOther ? { platform: formatPlatform(platform) } : {}),
    ...(addHosts.length === 0 ? {} : { 'add-hosts': addHosts.join(',') }),
    ...(network === undefined || network === 'default' ? {} : { 'force-network-mode': network }),
    ...(noCache === true ? { 'no-cache': '' } : {}),
  };
}

/** Images, downloads and repositories that the image is made from, each once. */
async function dependenciesOf(
  record: BuildRecord,
  { definition, target }: PlannedImage['front'],
): Promise<Dependency[]> {
  const lockable = record.images.lockable();
  const found: Dependency[] = [];
  for (const { digest, op } of reachable(definition, target)) {
    if (op.kind !== 'source') continue;
    const { source } = op;
    if (source.type === 'image') {
      const name = definition.meta.get(digest)?.ingredients?.image ?? `image@${source.manifest}`;
      const asked = name.slice(0, name.lastIndexOf('@'));
      // What was asked for is an index more often than not, and that is what the name leads to.
      const resolved = lockable.get(asked)?.digest ?? source.manifest;
      found.push(imageDependency(name, resolved, source.platform));
    } else if (source.type === 'http' || source.type === 'git') {
      found.push(await remoteDependency(record, source));
    }
  }
  return [...new Map(found.map((one) => [JSON.stringify(one), one])).values()];
}

async function remoteDependency(
  { remote, rules, locked, signal }: BuildRecord,
  named: HttpSource | GitSource,
): Promise<Dependency> {
  const given = rules === undefined ? named : rules.remote(named);
  const source = locked === undefined ? given : (lockedSource(locked, given) as typeof given);
  if (source.type === 'http') {
    const digest = source.checksum ?? (await remote.downloads.fetch(source, signal)).digest;
    return { uri: redactCredentials(source.url), digest: digestSet(digest) };
  }
  const { commit } = await remote.git.resolve(source, signal);
  const ref = (given as GitSource).ref;
  const uri = `${withoutUser(source.remote)}${ref === undefined ? '' : `#${ref}`}`;
  return { uri, digest: { [commit.length === 64 ? 'sha256' : 'sha1']: commit } };
}

function withoutUser(remote: string): string {
  const url = URL.parse(remote);
  if (url === null || url.username + url.password === '') return redactCredentials(remote);
  url.username = '';
  url.password = '';
  return redactCredentials(url.href);
}

/** The Dockerfile, then the others that it takes stages from. */
function sourcesOf(main: SourceFile, used: readonly (VertexMeta | undefined)[]): SourceFile[] {
  const others = used.flatMap((meta) => meta?.source?.file ?? []);
  return [...new Map([main, ...others].map((file) => [file.name, file])).values()];
}
