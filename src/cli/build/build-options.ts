import { statSync } from 'node:fs';
import { parseCacheFrom, parseCacheTo } from '../../build/cache/parse-option.ts';
import type { BuildOptions, Output } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import type { ProgressMode } from '../../ui/types.ts';
import { goBool } from '../../util/go-bool.ts';
import { COMMAND_NAMES } from '../commands.ts';
import { parseCsv } from '../flags/csv.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, splitAt } from '../flags/parse-args.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { parseAttestFlags } from './attest-flags.ts';
import { type CallRequest, readCall } from './call-flag.ts';
import { parseFailureExport } from './failure-flags.ts';
import { parseOutput } from './output-flag.ts';
import { parseAddHost, parseSize, parseUlimit } from './run-flags.ts';
import { parseSecrets, parseSsh } from './secret-flags.ts';

/** A build command, read. What only the command line knows stands beside the options of `build()`. */
export interface BuildRequest {
  readonly options: BuildOptions;
  /** `-f -`: the Dockerfile's text comes from stdin. */
  readonly dockerfileOnStdin: boolean;
  /** The Dockerfile or the context comes from stdin. */
  readonly readsStdin: boolean;
  readonly progress: 'auto' | ProgressMode;
  /** Print the digest on stdout (`-q`, `--progress=quiet`). */
  readonly printsDigest: boolean;
  readonly iidFile?: string;
  readonly metadataFile?: string;
  /** Open a shell in a RUN that fails. */
  readonly debugShell: boolean;
  /** About flags that have no effect. */
  readonly warnings: readonly string[];
  readonly debug: boolean;
  /** Stay, and build again what a saved file affects. */
  readonly watches: boolean;
  /** Asked for instead of a build. */
  readonly call?: CallRequest;
}

/** RUN shares the network of the machine. */
const HOST = '127.0.0.1';
const INLINE_MAX =
  'The attribute "mode=max" of --cache-to type=inline has no effect: the image holds its own layers only';
const NOT_SENT = 'The flag --compress has no effect: the context is not sent anywhere';
const PROGRESS = ['auto', 'tty', 'plain', 'grouped', 'github', 'gitlab', 'quiet', 'rawjson'] as const;
const PULL = ['missing', 'always', 'newer', 'never'] as const;
const NETWORK = ['default', 'none', 'host'] as const;

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Turns flags and CONTEXT into build options.
 * @throws USAGE_INVALID, USAGE_UNSUPPORTED
 */
export function readBuildRequest(args: ParsedArgs, env: Env): BuildRequest {
  const { bool, text, list } = flagReader(args);
  // What a script's empty variable gives; Docker passes it over in these flags.
  const filled = (name: string): readonly string[] => list(name).filter((value) => value !== '');
  const context = readContext(args.positional);
  const { outputs, warnings } = readOutputs(filled('output'), { push: bool('push'), load: bool('load') });
  const asked = readProgress(text('progress'), env.BUILDKIT_PROGRESS);
  // As in Docker: "quiet" is -q, "none" says nothing at all.
  const quiet = bool('quiet') || (text('progress') || env.BUILDKIT_PROGRESS) === 'quiet';
  const progress = quiet ? 'quiet' : asked;
  const file = text('file') || undefined;
  if (context === '-' && file === '-') {
    throw new OcibuildError('USAGE_INVALID', 'Cannot read both the context and the Dockerfile from stdin', {
      hint: 'send a tar archive that holds the Dockerfile, or name a directory: ocibuild build -f - .',
    });
  }
  const noCacheFilter = list('no-cache-filter').flatMap(parseCsv);
  if (bool('no-cache') && noCacheFilter.length > 0) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use --no-cache together with --no-cache-filter');
  }
  const [iidFile, metadataFile] = [text('iidfile'), text('metadata-file')];
  const cacheTo = filled('cache-to').map(parseCacheTo);
  const told = metadataFile ? readMetadataMode(env.BUILDX_METADATA_PROVENANCE) : undefined;
  const options: BuildOptions = {
    context,
    ...readTargets(text('target') ?? '', list('tag')),
    buildArgs: readBuildArgs(list('build-arg'), env),
    labels: readPairs('label', list('label')),
    annotations: readAnnotations(filled('annotation')),
    buildContexts: readBuildContexts(list('build-context')),
    noCache: bool('no-cache'),
    cacheFrom: filled('cache-from').map(parseCacheFrom),
    cacheTo,
    noCacheFilter,
    pull: readPull(text('pull')),
    network: readNetwork(text('network')),
    addHosts: filled('add-host')
      .flatMap(parseCsv)
      .map((entry) => parseAddHost(entry, HOST)),
    ulimits: list('ulimit').map(parseUlimit),
    secrets: parseSecrets(filled('secret'), env),
    ssh: parseSsh(filled('ssh'), env, isSocket),
    allow: filled('allow').flatMap(parseCsv),
    attest: parseAttestFlags({
      attest: list('attest'),
      provenance: text('provenance'),
      sbom: text('sbom'),
    }),
    explain: bool('explain'),
    exportOnFailure: list('export-on-failure').map(parseFailureExport),
    ...(told === undefined ? {} : { resultProvenance: told }),
    ...(bool('locked') ? { locked: true } : {}),
    ...(file === undefined || file === '-' ? {} : { dockerfile: file }),
    ...given('platform', filled('platform').join(',')),
    ...given('root', text('root') ?? env.OCIBUILD_ROOT),
    ...given('sourcePolicy', env.EXPERIMENTAL_BUILDKIT_SOURCE_POLICY),
    ...given('runtime', text('runtime') ?? env.OCIBUILD_RUNTIME),
    ...(text('shm-size') === undefined ? {} : { shmSize: parseSize('--shm-size', text('shm-size') ?? '') }),
    ...(text('jobs') === undefined ? {} : { jobs: readJobs(text('jobs') ?? '') }),
    ...(outputs.length === 0 ? {} : { outputs }),
  };
  const call = readCall({ call: text('call') ?? text('print'), check: bool('check'), fix: bool('fix') });
  return {
    options,
    dockerfileOnStdin: file === '-',
    readsStdin: file === '-' || context === '-',
    progress,
    // As in Docker: what goes to stdout is the output alone.
    printsDigest: quiet && !outputs.some((output) => 'dest' in output && output.dest === '-'),
    debugShell: bool('debug-shell'),
    warnings: [
      ...warnings,
      ...(bool('compress') ? [NOT_SENT] : []),
      ...(cacheTo.some((cache) => cache.type === 'inline' && cache.mode === 'max') ? [INLINE_MAX] : []),
    ],
    watches: bool('watch'),
    debug: bool('debug') || isSet(env.OCIBUILD_DEBUG),
    ...(call === undefined ? {} : { call }),
    ...(iidFile ? { iidFile } : {}),
    ...(metadataFile ? { metadataFile } : {}),
  };
}

function readContext(positional: readonly string[]): string {
  const [context, ...more] = positional;
  if (context === undefined || context === '' || more.length > 0) {
    throw new OcibuildError(
      'USAGE_INVALID',
      context === undefined || context === ''
        ? 'Cannot build without a context: name the directory that COPY reads from'
        : `Cannot build ${positional.length} contexts at once: "${positional.join('", "')}"`,
      {
        hint: PULL.some((when) => when === context)
          ? `write --pull=${context}: without "=" the next word is the context`
          : (didYouMean(context ?? '', COMMAND_NAMES) ??
            'for the current directory: ocibuild build -t app .'),
      },
    );
  }
  return context;
}

function readProgress(flag: string | undefined, variable: string | undefined): BuildRequest['progress'] {
  const mode = flag || variable || 'auto';
  if (mode === 'none') return 'quiet';
  return oneOf(flag ? '--progress' : 'BUILDKIT_PROGRESS', mode, PROGRESS);
}

export function readPull(value: string | undefined): (typeof PULL)[number] {
  if (value === undefined) return 'missing';
  // Docker's flag is yes or no, in any spelling of that.
  const bool = goBool(value);
  if (bool !== undefined) return bool ? 'always' : 'missing';
  return oneOf('--pull', value, PULL);
}

function readNetwork(value: string | undefined): (typeof NETWORK)[number] {
  return value === undefined || value === '' ? 'default' : oneOf('--network', value, NETWORK);
}

/** `--target a,b` is several targets, `-t a=REF` names the image of one of them. */
function readTargets(
  given: string,
  tags: readonly string[],
): Pick<BuildOptions, 'tags' | 'target' | 'targets' | 'targetTags'> {
  const targets = parseCsv(given).filter((name) => name !== '');
  const targetTags: Record<string, string[]> = {};
  const plain: string[] = [];
  for (const tag of tags) {
    const [name, reference] = splitAt(tag, '=');
    if (reference === undefined) plain.push(tag);
    else targetTags[name] = [...(targetTags[name] ?? []), reference];
  }
  const [target] = targets;
  const isNamed = Object.keys(targetTags).length > 0;
  if (targets.length > 1 || isNamed) return { tags: plain, targets, targetTags };
  return { tags: plain, ...(target === undefined ? {} : { target }) };
}

/** A bare name takes its value from the environment, and counts as not given where it is not there. */
function readBuildArgs(values: readonly string[], env: Env): Record<string, string> {
  const args: Record<string, string> = {};
  for (const value of values) {
    const [name, text] = splitAt(value, '=');
    if (name === '') throw pairFault('build-arg', value);
    const found = text ?? env[name];
    if (found !== undefined) args[name] = found;
  }
  return args;
}

function readPairs(flag: string, values: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const value of values) {
    const [name, text = ''] = splitAt(value, '=');
    if (name === '') throw pairFault(flag, value);
    pairs[name] = text;
  }
  return pairs;
}

/** `--push` and `--load` are one more output each, where none does that yet. */
function readOutputs(
  specs: readonly string[],
  { push, load }: { readonly push: boolean; readonly load: boolean },
): { readonly outputs: readonly Output[]; readonly warnings: readonly string[] } {
  const read = specs.map((spec) => parseOutput(spec, { push }));
  const outputs = read.flatMap((flag) => flag.outputs);
  const pushes = outputs.some(({ type }) => type === 'registry');
  const loads = outputs.some((output) => output.type === 'docker' && output.dest === undefined);
  return {
    outputs: [
      ...outputs,
      ...(push && !pushes ? [{ type: 'registry' as const }] : []),
      ...(load && !loads ? [{ type: 'docker' as const }] : []),
    ],
    warnings: read.flatMap((flag) => flag.warnings),
  };
}

function readAnnotations(values: readonly string[]): Record<string, string> {
  const annotations: Record<string, string> = {};
  for (const value of values) {
    const [name, text] = splitAt(value, '=');
    if (name === '' || text === undefined) throw pairFault('annotation', value);
    annotations[name] = text;
  }
  return annotations;
}

function readBuildContexts(values: readonly string[]): Record<string, string> {
  const contexts: Record<string, string> = {};
  for (const value of values) {
    const [name, text] = splitAt(value, '=');
    if (name === '' || !text) throw pairFault('build-context', value);
    contexts[name] = text;
  }
  return contexts;
}

/** How much of the provenance the metadata file tells. */
function readMetadataMode(value: string | undefined): 'min' | 'max' | undefined {
  if (value === 'max') return 'max';
  return value === undefined || ['', 'min', 'true', '1'].includes(value) ? 'min' : undefined;
}

function readJobs(value: string): number {
  if (/^[1-9]\d{0,3}$/.test(value)) return Number(value);
  throw new OcibuildError('USAGE_INVALID', `Cannot use --jobs "${value}": expected a whole number above 0`);
}

function pairFault(flag: string, value: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use --${flag} "${value}": expected NAME=VALUE`);
}

function given<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined || value === '' ? {} : ({ [key]: value } as { [P in K]: string });
}

export function isSet(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false'].includes(value);
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}
