import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { formatPlatform, parsePlatform } from '../image/platform.ts';
import { parseReference } from '../image/reference.ts';
import type { GitSource, HttpSource } from '../llb/ops.ts';
import { goBool } from '../util/go-bool.ts';
import { checkOptions } from './check-options.ts';
import { defaultRoot } from './default-root.ts';
import { type ContextInput, readContextInput } from './inputs/context-input.ts';
import type { BuildOptions, Output } from './options.ts';
import { type ImageOptions, readImageOptions } from './outputs/image-options.ts';
import { isImageOutput } from './outputs/image-outputs.ts';
import { checkPlaces } from './outputs/own-options.ts';
import { readGcOptions } from './prune/auto-gc.ts';

/** Options with every default filled in; paths are absolute. */
export interface NormalOptions
  extends Omit<
      BuildOptions,
      'context' | 'platform' | 'tags' | 'target' | 'targets' | 'targetTags' | 'annotations' | 'attest'
    >,
    ImageOptions {
  readonly context: ContextInput;
  /** The main context where it is a directory; empty otherwise. */
  readonly contextDir: string;
  readonly outputs: readonly Output[];
  readonly jobs: number;
  readonly root: string;
  readonly pull: NonNullable<BuildOptions['pull']>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** SOURCE_DATE_EPOCH, seconds. */
  readonly epochSec: number | undefined;
  /** SOURCE_DATE_EPOCH where it is the name of what gives the time. */
  readonly epochName?: string;
  /** Directories among the named contexts. */
  readonly contextDirs: Readonly<Record<string, string>>;
  /** Git repositories and URLs among the named contexts. */
  readonly remoteContexts: Readonly<Record<string, GitSource | HttpSource>>;
}

/** Fills in defaults and checks what can be checked without reading anything.
 * @throws USAGE_INVALID, REFERENCE_INVALID, PLATFORM_INVALID; TypeError for what is no option */
export function normaliseOptions(options: BuildOptions): NormalOptions {
  checkOptions(options);
  const env = options.env ?? process.env;
  const cwd = options.cwd ?? process.cwd();
  const outputs = options.outputs ?? [{ type: 'store' as const }];
  const { jobs = availableParallelism(), buildContexts = {} } = options;
  const keepGitDir = goBool(options.buildArgs?.BUILDKIT_CONTEXT_KEEP_GIT_DIR ?? '') === true;
  const context = readContextInput(options.context, { cwd, keepGitDir });
  if (!Number.isInteger(jobs) || jobs < 1) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot run ${jobs} steps at a time: jobs must be a whole number above 0`,
    );
  }
  // What it says wrong is told before the build, not after it.
  readGcOptions(options.gc, env, 0);
  const root = resolve(cwd, options.root ?? defaultRoot(env));
  checkPlaces(outputs, { cwd, kept: [root, ...(context.type === 'directory' ? [context.dir] : [])] });
  if (options.cacheTo?.some(({ type }) => type === 'inline') && !outputs.some(isImageOutput)) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot put the cache into the image: no output is an image', {
      hint: 'write it elsewhere: --cache-to type=local,dest=DIR',
    });
  }
  const images = readImageOptions(options, env);
  if (images.targets.length > 1 && outputs.some((output) => 'dest' in output && output.dest === '-')) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot write several targets to stdout', {
      hint: 'write files: with dest=out.tar the target "a" goes to "out-a.tar"',
    });
  }
  return {
    ...options,
    context,
    contextDir: context.type === 'directory' ? context.dir : '',
    ...withAgent(options, context, env),
    ...images,
    ...withInlineCache(options, outputs),
    outputs: outputs.map((output) =>
      'dest' in output && output.dest !== undefined && output.dest !== '-'
        ? { ...output, dest: resolve(cwd, output.dest) }
        : output,
    ),
    jobs,
    root,
    pull: options.pull ?? 'missing',
    env,
    cwd,
    ...epochOf(options.buildArgs?.SOURCE_DATE_EPOCH ?? env.SOURCE_DATE_EPOCH),
    ...readNamedContexts(buildContexts, cwd),
  };
}

/** The older way to ask for it: an image takes its cache along, other outputs have no place for one. */
function withInlineCache(
  { buildArgs, cacheTo = [] }: BuildOptions,
  outputs: readonly Output[],
): Pick<BuildOptions, 'cacheTo'> {
  const isAsked = goBool(buildArgs?.BUILDKIT_INLINE_CACHE ?? '') === true && outputs.some(isImageOutput);
  if (!isAsked || cacheTo.some(({ type }) => type === 'inline')) return {};
  return { cacheTo: [...cacheTo, { type: 'inline' }] };
}

function epochOf(text: string | undefined): Pick<NormalOptions, 'epochSec' | 'epochName'> {
  if (text === undefined || text === '') return { epochSec: undefined };
  return /^\d{1,12}$/.test(text) ? { epochSec: Number(text) } : { epochSec: undefined, epochName: text };
}

/** A context that is cloned by ssh takes the caller's agent, as in Docker; an ADD takes what `--ssh` gives. */
function withAgent(
  { ssh = {} }: BuildOptions,
  context: ContextInput,
  env: NormalOptions['env'],
): Pick<BuildOptions, 'ssh'> {
  const socket = env.SSH_AUTH_SOCK;
  if (context.type !== 'git' || context.ssh === undefined || ssh.default || !socket) return {};
  if (statSync(socket, { throwIfNoEntry: false })?.isSocket() !== true) return {};
  return { ssh: { ...ssh, default: { type: 'agent', socket } } };
}

function readNamedContexts(
  contexts: Readonly<Record<string, string>>,
  cwd: string,
): Pick<NormalOptions, 'buildContexts' | 'contextDirs' | 'remoteContexts'> {
  const buildContexts: Record<string, string> = {};
  const contextDirs: Record<string, string> = {};
  const remoteContexts: Record<string, GitSource | HttpSource> = {};
  for (const [given, text] of Object.entries(contexts)) {
    const name = readContextName(given);
    buildContexts[name] = text;
    if (/^(oci-layout|docker-image):\/\//.test(text)) continue;
    const input = readContextInput(text, { cwd, named: true });
    if (input.type === 'stdin') {
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot use the build context "${name}=-": stdin is for the main context`,
      );
    }
    if (input.type === 'directory') contextDirs[name] = input.dir;
    else remoteContexts[name] = input;
  }
  return { buildContexts, contextDirs, remoteContexts };
}

/** `NAME` or `NAME::PLATFORM`, the platform as look-ups write it. */
function readContextName(text: string): string {
  const [, name = text, platform] = /^(.*?)::(.*)$/.exec(text) ?? [];
  // What FROM and --from look up is an image name, or a stage in lower case: nothing could ever ask for another.
  try {
    parseReference(name);
  } catch (cause) {
    if (!(cause instanceof OcibuildError)) throw cause;
    const why = cause.message.replace(/^Cannot read image name ".*": /, '');
    throw new OcibuildError('USAGE_INVALID', `Cannot use the build context name "${text}": ${why}`, {
      cause,
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
    });
  }
  return platform === undefined ? name : `${name}::${formatPlatform(parsePlatform(platform))}`;
}
