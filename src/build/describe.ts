import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentStore } from '../cache/types.ts';
import { OcibuildError } from '../errors/error.ts';
import type { SourceFile } from '../errors/source.ts';
import { checkDockerfile } from '../frontend/describe.ts';
import { applyEdits } from '../frontend/lint/apply-edits.ts';
import { listTargets, outlineDockerfile } from '../frontend/outline.ts';
import type { FrontendContext, LintWarning, Outline, TargetInfo } from '../frontend/types.ts';
import { digestBytes } from '../image/digest.ts';
import type { EventSink } from '../solver/types.ts';
import { type Engine, openEngine } from './engine.ts';
import { createFrontendContext } from './frontend-context.ts';
import { distinct } from './graph.ts';
import { readDefinition } from './inputs/definition-files.ts';
import { createImageSources } from './inputs/image-resolver.ts';
import { isLocalDefinition, loadMainContext, type MainContext } from './inputs/main-context.ts';
import { createRemoteSources } from './inputs/remote-sources.ts';
import { createInternalSteps } from './internal-steps.ts';
import { type NormalOptions, normaliseOptions } from './normalise.ts';
import type { BuildOptions } from './options.ts';
import { writeWhole } from './outputs/writable-places.ts';
import { checkDefinition, policedRemotes } from './policy/policed-sources.ts';
import { readSourceRules, type SourceRules } from './policy/source-rules.ts';

/** What the lint rules found in a Dockerfile, and what would stop a build of it. */
export interface CheckResult {
  readonly dockerfile: SourceFile;
  readonly warnings: readonly LintWarning[];
  /** The fault that a build would end with, as far as that can be known without building. */
  readonly error?: OcibuildError;
  /** How many findings `fix` put right; they are not among the warnings any more. */
  readonly fixed: number;
}

/** Options of `check()`: those of the build. Outputs and tags do not matter. */
export interface CheckOptions extends BuildOptions {
  /** Rewrite the Dockerfile: findings that only one change puts right. @default false */
  readonly fix?: boolean;
}

/** Answers that were applied may make room for more, such as AS that follows the case of FROM. */
const MAX_ROUNDS = 5;

/**
 * Asks the lint rules about a Dockerfile: the stages that `target` needs, or all. Nothing is built, and of base images
 * only manifest and config are read.
 * @throws OcibuildError, but not for faults of the Dockerfile itself: those are the result's `error`
 * @example
 * for (const { rule, range } of (await check({ context: '.' })).warnings) console.log(rule, range.start.line);
 */
export async function check(options: CheckOptions): Promise<CheckResult> {
  let fixed = 0;
  for (let round = 0; ; round++) {
    const result = await checkOnce(options);
    if (options.fix !== true) return { ...result, fixed };
    const { path, dockerfile } = result;
    if (path === undefined) {
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot fix "${dockerfile.name}": it is not a file of this machine`,
        {
          hint: 'name a directory as the context, and the Dockerfile by -f PATH',
        },
      );
    }
    const { text, applied } = applyEdits(
      dockerfile.text,
      result.warnings.flatMap(({ fix, file }) => (fix === undefined || file !== dockerfile ? [] : [fix])),
    );
    if (applied === 0 || round === MAX_ROUNDS) return { ...result, fixed };
    writeWhole(path, text);
    fixed += applied;
  }
}

/** What can be given to a build of a target: arguments, secrets, SSH agents, and its cache mounts.
 * @throws OcibuildError */
export async function outline(options: BuildOptions): Promise<Outline & { readonly dockerfile: SourceFile }> {
  return describe(options, async (context, { stages: [target, ...more] }) => {
    if (more.length > 0) {
      throw new OcibuildError('USAGE_INVALID', 'Cannot outline several targets at once: name one');
    }
    const outlined = await outlineDockerfile(target === undefined ? context : { ...context, target });
    return { ...outlined, dockerfile: context.dockerfile };
  });
}

/** The stages of a Dockerfile, each of which can be a target.
 * @throws OcibuildError */
export async function targets(
  options: BuildOptions,
): Promise<{ readonly targets: readonly TargetInfo[]; readonly dockerfile: SourceFile }> {
  return describe(options, async (context) => ({
    targets: await listTargets(context),
    dockerfile: context.dockerfile,
  }));
}

async function checkOnce(options: CheckOptions): Promise<Omit<CheckResult, 'fixed'> & { path?: string }> {
  return describe(options, async (context, { main, stages }) => {
    const results = [];
    for (const target of stages) {
      results.push(await checkDockerfile(target === undefined ? context : { ...context, target }));
    }
    const error = results.find((result) => result.error !== undefined)?.error;
    return {
      warnings: distinct(results.flatMap(({ warnings }) => warnings)),
      ...(error === undefined ? {} : { error }),
      dockerfile: context.dockerfile,
      ...(main.files.path === undefined ? {} : { path: main.files.path }),
    };
  });
}

interface Asked {
  readonly main: MainContext;
  /** Targets of the command line; undefined: none was named. */
  readonly stages: readonly (string | undefined)[];
}

/** Reads the definition and asks about it, for the first platform only: the others would tell the same. */
async function describe<T>(
  given: BuildOptions,
  ask: (context: FrontendContext, about: Asked) => Promise<T>,
): Promise<T> {
  const options = normaliseOptions({ ...given, outputs: [{ type: 'cacheonly' }], tags: [] });
  const signal = given.signal ?? new AbortController().signal;
  const emit: EventSink = given.onEvent ?? (() => undefined);
  const steps = createInternalSteps(emit, Date.now);
  const rules = readSourceRules(options);
  checkDefinition(rules, options);
  await using store = lazyStore(options, rules, signal);
  let main: MainContext;
  if (isLocalDefinition(options)) {
    const files = await steps.run('[internal] load build definition from Dockerfile', () =>
      readDefinition(options),
    );
    main = { files, source: undefined, contextDir: options.contextDir };
  } else {
    const engine = await store.engine();
    using remote = policedRemotes(createRemoteSources(engine, options, { emit }), rules);
    main = await loadMainContext({ options, engine, remote, steps, signal });
  }
  const images = {
    resolve: async (...asked: Parameters<FrontendContext['resolver']['resolve']>) =>
      (await store.images()).resolve(...asked),
  };
  const context = createFrontendContext(main, { options, images, steps, signal });
  const [platform] = options.platforms;
  if (platform === undefined) throw new OcibuildError('INTERNAL', 'Cannot check for no platform');
  return ask(
    { ...context, targetPlatform: platform },
    { main, stages: options.targets.map(({ stage }) => stage) },
  );
}

/** The store is read where it is there, and not made or written for a look at a Dockerfile. */
function lazyStore(options: NormalOptions, rules: SourceRules | undefined, signal: AbortSignal) {
  let opening: Promise<Engine> | undefined;
  const isThere = existsSync(join(options.root, 'cache.db'));
  const engine = (): Promise<Engine> => {
    opening ??= openEngine({
      root: options.root,
      // What has to be fetched has to be kept somewhere.
      access: isThere ? 'look' : 'make',
      ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
      env: options.env,
      signal,
    });
    return opening;
  };
  let sources: Promise<ReturnType<typeof createImageSources>> | undefined;
  const open = async () => {
    const known = isThere ? await engine() : undefined;
    const registry =
      known?.registry ??
      (async () => {
        const { createResolver } = await import('../registry/resolver.ts');
        return createResolver({ env: options.env });
      });
    return createImageSources(
      {
        content: withoutWrites(known?.content),
        index: { resolve: known?.index.resolve ?? (() => undefined), set: () => undefined },
        hasLayer: known?.layers.available ?? (() => false),
        registry,
      },
      { pull: options.pull, contexts: options.buildContexts ?? {}, cwd: options.cwd, signal, rules },
    );
  };
  return {
    engine,
    images() {
      sources ??= open();
      return sources;
    },
    async [Symbol.asyncDispose]() {
      await (await opening?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

function withoutWrites(
  content: ContentStore | undefined,
): Pick<ContentStore, 'stat' | 'readBytes' | 'putBytes'> {
  return {
    stat: (digest) => content?.stat(digest),
    readBytes(digest, maxSize) {
      if (content !== undefined) return content.readBytes(digest, maxSize);
      throw new OcibuildError('BLOB_NOT_FOUND', `Cannot find the blob "${digest}": there is no store`);
    },
    putBytes: (bytes) => ({ digest: digestBytes(bytes), size: bytes.length }),
  };
}
