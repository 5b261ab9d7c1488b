import { existsSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isatty } from 'node:tty';
import type { RunImageOptions } from '../../build/containers/image.ts';
import type { Container, RunRequest } from '../../build/containers/types.ts';
import type { Engine } from '../../build/engine.ts';
import type { ImageDetails } from '../../build/images/stored-image.ts';
import type { BuildResult } from '../../build/options.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { BuildRequest } from '../build/build-options.ts';
import { commandBuild, configuredRequest } from '../config/config-builds.ts';
import { BUILD_FLAGS } from '../flags/build-flags.ts';
import { RUN_FLAGS } from '../flags/container-flags.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { reportError } from '../report.ts';
import { storeOf } from '../store-of.ts';
import type { CliContext } from '../types.ts';
import { readRunRequest } from './container-options.ts';

/** As in Docker and shells: the program is there and cannot be started, or is not there. */
const EXIT_CANNOT_START = 126;
const EXIT_NOT_FOUND = 127;

const STDOUT = 1;

/** The config file says these of images that are kept. */
const NOT_RUN: readonly string[] = [
  ...['tag', 'output', 'push', 'load', 'platform', 'iidfile', 'metadata-file', 'watch', 'debug-shell'],
  ...['check', 'fix', 'call'],
];
const RUN_DEFAULTS = BUILD_FLAGS.filter(({ name }) => !NOT_RUN.includes(name));

const BUILD_ONLY = ['file', 'build-arg', 'target', 'progress', 'watch', 'sync', 'sync-restart', 'rebuild'];
const WATCH_ONLY = ['sync', 'sync-restart', 'rebuild'];

/** `ocibuild run REF|CONTEXT [CMD…]`: gives the exit code of the container, or 0 once it runs detached. */
export async function runCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, [...RUN_FLAGS, ...GLOBAL_FLAGS], 1);
  const [name, ...words] = parsed.positional;
  if (name === undefined) {
    throw new OcibuildError(
      'USAGE_INVALID',
      'Cannot run without an image: name one, or the directory to build it from',
    );
  }
  const { env, cwd } = context;
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  // Before files are read: a pipe can be read once.
  await enterNamespaceIfNeeded({ env, cwd }, 'must');
  const request = readRunRequest(parsed, words, context);
  const detach = flagReader(parsed).bool('detach');
  const isBuilt = isContext(name, context.cwd);
  if (!isBuilt) refuseBuildFlags(parsed, name);
  if (request.tty && request.interactive && !detach && context.stdin.isTTY !== true) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use -t together with -i: stdin is no terminal', {
      hint: 'leave -t out',
    });
  }
  const watches = flagReader(parsed).bool('watch');
  refuseWatchFlags(parsed, { watches, keepsTerminal: detach || request.interactive || request.tty });

  const cidFile = idFile(parsed, { cwd, watches });
  if (cidFile !== undefined) (await import('../../build/outputs/writable-places.ts')).checkFile(cidFile, []);

  const root = await storeOf(parsed, context);
  const { sweepDeadContainers } = await import('../../build/containers/sweep.ts');
  await sweepDeadContainers(root);
  if (watches) {
    const [{ runWatch }, { openPrinter }] = await Promise.all([
      import('./run-watch.ts'),
      import('../build/build-printer.ts'),
    ]);
    const requestOf = (now: CliContext): BuildRequest => buildRequest(name, parsed, now);
    const own = requestOf(context);
    // What the program prints would tear up a screen.
    const shown: BuildRequest = own.progress === 'auto' ? { ...own, progress: 'plain' } : own;
    const asked = { name, parsed, request: { ...request, remove: true } };
    return runWatch(
      {
        ...{ request: shown, requestOf, parsed, root },
        openPrinter: (how) => openPrinter({ ...shown, ...how }, context, context.stderr),
        prepare: (built, again) => {
          const named = again === undefined ? asked.request : { ...asked.request, name: again };
          return prepare({ ...asked, request: named, built }, { ...context, root });
        },
      },
      context,
    );
  }
  const built = isBuilt ? await build(name, parsed, { ...context, root }) : undefined;
  const container = await prepare({ name, parsed, request, built }, { ...context, root });
  if (cidFile !== undefined) writeFileSync(cidFile, container.plan.id, { flag: 'wx' });
  return detach
    ? startDetached(container, { ...context, root })
    : runAttached(container, { ...context, root });
}

type RunContext = CliContext & { readonly root: string };

/** A path, a build of the config file, or a directory with a Dockerfile in it; no image reference begins with a dot, a
 * slash or an at. */
function isContext(word: string, cwd: string): boolean {
  if (/^[./@]/.test(word)) return true;
  const isFile = (name: string): boolean => {
    try {
      return statSync(join(resolve(cwd, word), name)).isFile();
    } catch {
      // Missing, or below a directory that this user cannot look into.
      return false;
    }
  };
  return ['Dockerfile', 'Containerfile'].some(isFile);
}

function refuseBuildFlags({ flags }: ParsedArgs, name: string): void {
  const given = BUILD_ONLY.find((flag) => flags.has(flag) && flags.get(flag) !== false);
  if (given === undefined) return;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use --${given} with the image "${name}": it is for a build`,
    {
      hint: `to build the directory first, write ./${name}`,
    },
  );
}

/** Where the id goes. @throws USAGE_INVALID for a file that is there, as in Docker: another container may be meant */
function idFile(
  parsed: ParsedArgs,
  { cwd, watches }: { readonly cwd: string; readonly watches: boolean },
): string | undefined {
  const file = flagReader(parsed).text('cidfile');
  if (file === undefined) return undefined;
  if (watches) {
    throw new OcibuildError(
      'USAGE_INVALID',
      'Cannot use --cidfile together with --watch: containers change',
      {
        hint: 'give them a name with --name',
      },
    );
  }
  if (!existsSync(resolve(cwd, file))) return resolve(cwd, file);
  throw new OcibuildError('USAGE_INVALID', `Cannot use --cidfile "${file}": it is there already`);
}

function refuseWatchFlags(
  { flags }: ParsedArgs,
  { watches, keepsTerminal }: { readonly watches: boolean; readonly keepsTerminal: boolean },
): void {
  const alone = watches ? undefined : WATCH_ONLY.find((flag) => flags.has(flag));
  if (alone !== undefined) throw new OcibuildError('USAGE_INVALID', `Cannot use --${alone} without --watch`);
  if (watches && keepsTerminal) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use --watch together with -d, -i or -t', {
      hint: 'ocibuild exec -it NAME sh opens a shell in the container that runs',
    });
  }
}

/** The build that the flags of `run` ask for; the image needs no name. */
function buildRequest(contextDir: string, parsed: ParsedArgs, context: CliContext): BuildRequest {
  const flags = new Map(
    [...parsed.flags].filter(([flag]) => [...BUILD_ONLY, 'pull', 'runtime', 'quiet', 'debug'].includes(flag)),
  );
  const platform = flagReader(parsed).text('platform');
  if (platform !== undefined) flags.set('platform', [platform]);
  const args = { flags, positional: [contextDir] };
  const request = configuredRequest(commandBuild(args, RUN_DEFAULTS, context), context);
  if (request.options.targets !== undefined) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot run several targets: choose one with --target');
  }
  return request;
}

async function build(contextDir: string, parsed: ParsedArgs, context: RunContext): Promise<BuildResult> {
  const { cwd, env, signal, root } = context;
  const request = buildRequest(contextDir, parsed, context);
  const { openPrinter } = await import('../build/build-printer.ts');
  const printer = await openPrinter(request, context, context.stderr);
  try {
    const { startBuild } = await import('../../build/start-build.ts');
    const { run } = startBuild({ ...request.options, root, env, cwd, signal, onEvent: printer.event });
    const { result } = await run;
    await printer.finish(result);
    return result;
  } catch (error) {
    await printer.finish(undefined, error);
    throw error;
  }
}

async function prepare(
  what: {
    readonly name: string;
    readonly parsed: ParsedArgs;
    readonly request: RunRequest;
    readonly built: BuildResult | undefined;
  },
  context: RunContext,
): Promise<Container> {
  const { root, env, signal } = context;
  const [{ openEngine }, { createContainer }] = await Promise.all([
    import('../../build/engine.ts'),
    import('../../build/containers/create.ts'),
  ]);
  const runtime = flagReader(what.parsed).text('runtime') ?? env.OCIBUILD_RUNTIME;
  const chosen = runtime === undefined ? {} : { runtime };
  await using engine = await openEngine({ root, env, signal, ...chosen });
  const image = await imageOf(engine, what, context);
  // Awaited here: the engine closes when this returns.
  return await createContainer(engine, { image, request: what.request }, { signal, ...chosen });
}

async function imageOf(
  engine: Engine,
  {
    name,
    parsed,
    built,
  }: { readonly name: string; readonly parsed: ParsedArgs; readonly built: BuildResult | undefined },
  { root, env, signal, stderr, cwd }: RunContext,
): Promise<ImageDetails> {
  const { builtImage, imageToRun } = await import('../../build/containers/image.ts');
  if (built?.descriptor !== undefined)
    return builtImage(engine, basename(resolve(cwd, name)).replace(/^@/, ''), built.descriptor);
  const { bool, text } = flagReader(parsed);
  const platform = text('platform');
  const { openTransferPrinter } = await import('../../ui/transfer.ts');
  const printer = bool('quiet')
    ? undefined
    : await openTransferPrinter({
        ...{ stream: stderr, env, name },
        words: { running: 'Pulling', done: 'Pulled' },
      });
  const { readPull } = await import('../build/build-options.ts');
  try {
    const options: RunImageOptions = {
      ...{ root, env, signal, pull: readPull(text('pull')) },
      ...(platform === undefined ? {} : { platform }),
      ...(printer === undefined ? {} : { onEvent: printer.event }),
    };
    const image = await imageToRun(engine, name, options);
    await printer?.finish();
    return image;
  } catch (error) {
    await printer?.finish(error);
    throw error;
  }
}

async function startDetached(container: Container, context: RunContext): Promise<number> {
  const { root, env, signal, stdout } = context;
  const { startMonitor } = await import('../../build/containers/start.ts');
  return orExitCode(context, async () => {
    const { warnings } = await startMonitor(container, { root, env, signal });
    warn(warnings, context);
    stdout.write(`${container.plan.id}\n`);
    return 0;
  });
}

async function runAttached(container: Container, context: RunContext): Promise<number> {
  const { root, env, stdin, stdout } = context;
  const [{ runInForeground }, { forwardSignals }, { openOutput }] = await Promise.all([
    import('../../build/containers/start.ts'),
    import('../signals.ts'),
    import('./output.ts'),
  ]);
  const { write, gone } = openOutput(context);
  // Without stdin there is nothing to be typed: a terminal between does, and Ctrl-C is a signal as always.
  const joinsTerminal = container.plan.interactive && stdout.isTTY === true && stdin.isTTY === true;
  return orExitCode(context, () =>
    runInForeground(container, {
      ...{ root, env, joinsTerminal },
      onOutput: write,
      signal: gone,
      hasLostTerminal: () => stdout.isTTY === true && !isatty(STDOUT),
      onWarnings: (warnings) => warn(warnings, context),
      forwardSignals: (send) => forwardSignals(process, send),
    }),
  );
}

function warn(warnings: readonly string[], { stderr }: CliContext): void {
  for (const warning of warnings) stderr.write(`warning: ${warning}\n`);
}

/** A command that cannot be started has the exit codes that shells give it. */
export async function orExitCode(
  { stderr, signal }: Pick<CliContext, 'stderr' | 'signal'>,
  run: () => Promise<number>,
): Promise<number> {
  try {
    return await run();
  } catch (error) {
    const isStart = isOcibuildError(error) && ['RUN_START_FAILED', 'RUN_CWD_INVALID'].includes(error.code);
    if (!isStart) throw error;
    reportError(error, { write: (text) => stderr.write(text), signal, debug: false });
    return /not found|no such file/i.test(error.message) ? EXIT_NOT_FOUND : EXIT_CANNOT_START;
  }
}
