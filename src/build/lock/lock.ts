import { OcibuildError } from '../../errors/error.ts';
import type { FrontendContext } from '../../frontend/types.ts';
import type { EventSink } from '../../solver/types.ts';
import { withCallerEvents } from '../caller-events.ts';
import { openEngine } from '../engine.ts';
import { createFrontendContext } from '../frontend-context.ts';
import { type BuildGraph, createBuildGraph } from '../graph.ts';
import { type DefinitionFiles, type LockFilePlace, readDefinition } from '../inputs/definition-files.ts';
import { createImageSources } from '../inputs/image-resolver.ts';
import { isLocalDefinition } from '../inputs/main-context.ts';
import { createRemoteSources, type RemoteSources } from '../inputs/remote-sources.ts';
import { createInternalSteps } from '../internal-steps.ts';
import { isNormalUser } from '../namespace/is-normal-user.ts';
import { type NormalOptions, normaliseOptions } from '../normalise.ts';
import type { BuildOptions } from '../options.ts';
import { writeWhole } from '../outputs/writable-places.ts';
import { checkSources, policedRemotes, policedSource } from '../policy/policed-sources.ts';
import { readSourceRules, type SourceRules } from '../policy/source-rules.ts';
import {
  diffLocks,
  EMPTY_LOCK,
  formatLock,
  gitEntry,
  imageEntry,
  type Lock,
  type LockChange,
  parseLock,
  urlEntry,
} from './lock-file.ts';
import type { HeldLock } from './locked.ts';

/** Options of `lock()`: those of the builds that the lock is for. */
export interface LockOptions extends BuildOptions {
  /** Where images are looked for. @default newer: in their registries, else in the store */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never';
  /** Write nothing; fail if the lock file is not up to date. */
  readonly check?: boolean;
}

/** What `lock()` wrote, or with `check` would write. */
export interface LockResult {
  /** Path of the lock file. */
  readonly file: string;
  readonly lock: Lock;
  /** Against the lock file as it was. */
  readonly changes: readonly LockChange[];
  /** Images that no registry gave: they were taken as they stand in the store. */
  readonly fromStore: readonly string[];
}

/**
 * Writes `Dockerfile.lock` beside the Dockerfile: the digest of each image, the sha256 of each URL and the commit of
 * each git ref that the Dockerfile names without saying which content it means. All stages count, or those that
 * `target` needs, for all platforms of the options.
 * @throws OcibuildError; LOCK_OUTDATED with `check`, its `details.changes` says what differs
 * @example
 * const { changes } = await lock({ context: '.' });
 */
export function lock(given: LockOptions): Promise<LockResult> {
  return withCallerEvents(given, async ({ signal, emit }) => {
    const options = { ...given, signal };
    if (!isNormalUser()) return lockHere(options, emit);
    const { insideWhereItRuns } = await import('../namespace/as-user.ts');
    return insideWhereItRuns('lock', { ...options, onEvent: emit }, () => lockHere(options, emit));
  });
}

async function lockHere(
  options: LockOptions & { readonly signal: AbortSignal },
  emit: EventSink,
): Promise<LockResult> {
  const { signal } = options;
  const normal = normaliseOptions({ ...options, pull: options.pull ?? 'newer' });
  if (!isLocalDefinition(normal)) throw notLockable('its Dockerfile is not a file of this machine');
  const files = readDefinition(normal);
  const place = placeOf(files);
  const text = place.read();
  const before = text === undefined ? EMPTY_LOCK : parseLock(text, place.name);
  const found = await resolveAll(normal, files, { signal, emit });
  const changes = diffLocks(before, found.lock);
  if (options.check === true) {
    if (text === undefined) throw noLockFile(place);
    if (changes.length > 0) {
      const count = changes.length === 1 ? '1 entry is' : `${changes.length} entries are`;
      throw new OcibuildError(
        'LOCK_OUTDATED',
        `Cannot accept the lock file "${place.name}": ${count} out of date`,
        {
          hint: 'run `ocibuild lock` with the same flags, and look at what changed',
          details: { file: place.path, changes },
        },
      );
    }
  } else if (formatLock(found.lock) !== text) {
    writeWhole(place.path, formatLock(found.lock));
  }
  return { file: place.path, changes, ...found };
}

/** The lock that a build with `--locked` is held to. @throws LOCK_NOT_FOUND, LOCK_INVALID */
export function readHeldLock(files: DefinitionFiles): HeldLock {
  const place = placeOf(files);
  const text = place.read();
  if (text === undefined) throw noLockFile(place);
  return { file: place.name, lock: parseLock(text, place.name) };
}

function placeOf({ lockFile }: DefinitionFiles): LockFilePlace {
  if (lockFile === undefined)
    throw notLockable('its Dockerfile is no file that a lock file could lie beside');
  return lockFile;
}

function notLockable(why: string): OcibuildError {
  return new OcibuildError('LOCK_NOT_FOUND', `Cannot use a lock file for this build: ${why}`, {
    hint: 'build from a directory with a Dockerfile in it, or name the Dockerfile with `-f PATH`',
  });
}

function noLockFile({ path, name }: LockFilePlace): OcibuildError {
  return new OcibuildError('LOCK_NOT_FOUND', `Cannot find the lock file "${name}"`, {
    hint: 'write it with `ocibuild lock` and the flags of this build',
    details: { path },
  });
}

async function resolveAll(
  options: NormalOptions,
  files: DefinitionFiles,
  { signal, emit }: { signal: AbortSignal; emit: EventSink },
): Promise<Pick<LockResult, 'lock' | 'fromStore'>> {
  await using engine = await openEngine({
    ...{ root: options.root, env: options.env, signal },
    ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
  });
  const rules = readSourceRules(options);
  using remote = policedRemotes(createRemoteSources(engine, options, { emit }), rules);
  const images = createImageSources(
    {
      ...{ content: engine.content, index: engine.index },
      ...{ hasLayer: engine.layers.available, registry: engine.registry },
    },
    { pull: options.pull, contexts: options.buildContexts ?? {}, cwd: options.cwd, signal, rules },
  );
  const steps = createInternalSteps(emit, Date.now);
  const main = { files, source: undefined };
  const context = createFrontendContext(main, { options, images, steps, signal });
  const graph = await graphOfAll(options, context);
  checkSources(rules, graph.definition);
  const lockable = [...images.lockable()].filter(([name]) => imageEntry(name) !== undefined);
  return {
    lock: {
      images: Object.fromEntries(lockable.map(([name, { digest }]) => [name, digest])),
      ...(await resolveRemotes(graph, { remote, rules, steps, signal })),
    },
    fromStore: lockable.flatMap(([name, { instead }]) => (instead === undefined ? [] : [name])).sort(),
  };
}

/** Without a target of their own, builds of every stage are meant. */
async function graphOfAll(
  options: NormalOptions,
  context: Omit<FrontendContext, 'target' | 'targetPlatform' | 'manyPlatforms'>,
): Promise<BuildGraph> {
  const graph = await createBuildGraph(options, context);
  const stages = graph.targets[0]?.images[0]?.front.stageNames ?? [];
  const isOpen = options.targets.length === 1 && options.targets[0]?.stage === undefined;
  if (!isOpen || stages.length < 2) return graph;
  const targets = stages.map((name, index) => ({
    stage: name === `stage-${index}` ? String(index) : name,
    names: [],
  }));
  return createBuildGraph({ ...options, targets }, context);
}

async function resolveRemotes(
  { definition }: BuildGraph,
  about: {
    remote: RemoteSources;
    rules: SourceRules | undefined;
    steps: ReturnType<typeof createInternalSteps>;
    signal: AbortSignal;
  },
): Promise<Pick<Lock, 'urls' | 'git'>> {
  const { remote, rules, steps, signal } = about;
  const urls: Record<string, Lock['urls'][string]> = {};
  const git: Record<string, string> = {};
  for (const { op } of definition.vertices.values()) {
    if (op.kind !== 'source' || op.source.type === 'image' || op.source.type === 'local') continue;
    const source = policedSource(rules, op.source);
    if (source.type === 'http') {
      const entry = urlEntry(source);
      if (entry === undefined || urls[entry] !== undefined) continue;
      const { digest } = await steps.run(`[internal] download ${entry}`, () =>
        remote.downloads.fetch(source, signal),
      );
      urls[entry] = digest;
    } else if (source.type === 'git') {
      const entry = gitEntry(source);
      if (entry === undefined || git[entry] !== undefined) continue;
      const { commit } = await steps.run(`[internal] resolve ${entry}`, () =>
        remote.git.resolve(source, signal),
      );
      git[entry] = commit;
    }
  }
  return { urls, git };
}
