import type { BuildResult, ImageLayer } from '../../build/options.ts';
import type { BuildTrace } from '../../build/run-build.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { ProgressEvent } from '../../solver/types.ts';
import { commandBuilds, configuredRequest } from '../config/config-builds.ts';
import { BUILD_FLAGS } from '../flags/build-flags.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { parseArgs } from '../flags/parse-args.ts';
import { print } from '../print.ts';
import { readStdin } from '../read-stdin.ts';
import { reportError } from '../report.ts';
import type { CliContext } from '../types.ts';
import { type BuildRequest, isSet } from './build-options.ts';
import { openPrinter } from './build-printer.ts';
import { checkTerminal, noShellNote, openDebugShell } from './debug-shell.ts';
import { digestLines, prepareResultFiles, writeResultFiles } from './result-files.ts';

/** `ocibuild build`: gives the exit code. Wrong usage is thrown, a failed build is reported here, after its
 * progress has been shown. */
export async function buildCommand(args: readonly string[], context: CliContext): Promise<number> {
  const { cwd, env, signal, stdout } = context;
  const parsed = parseArgs(args, [...BUILD_FLAGS, ...GLOBAL_FLAGS]);
  const builds = commandBuilds(parsed, context);
  if (builds.length > 1) return (await import('./build-many.ts')).buildMany(builds, context);
  const requestOf = (now: CliContext): BuildRequest =>
    configuredRequest(commandBuilds(parsed, now)[0]?.args ?? parsed, now);
  const request = requestOf(context);
  if (request.call !== undefined && !request.watches) {
    return (await import('./check-command.ts')).callCommand(request, request.call, context);
  }
  if (request.debugShell) {
    checkTerminal(context, '--debug-shell');
    if (request.watches) {
      throw new OcibuildError('USAGE_INVALID', 'Cannot use --debug-shell together with --watch', {
        hint: 'leave --watch with Ctrl-C, then build once with --debug-shell',
      });
    }
  }
  const toStdout =
    request.options.outputs?.some((output) => 'dest' in output && output.dest === '-') === true;
  if (toStdout && stdout.isTTY) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot write an archive to a terminal', {
      hint: 'redirect stdout, or name a file with dest=FILE',
    });
  }
  prepareResultFiles(request, cwd);
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  // What is watched may have a RUN later.
  const when = request.readsStdin || request.watches ? 'try' : 'look';
  await enterNamespaceIfNeeded({ ...request.options, env, cwd }, when);
  const dockerfileText = request.dockerfileOnStdin ? await readStdin(context) : undefined;
  if (request.watches) {
    const { watchCommand } = await import('./watch-command.ts');
    return watchCommand(request, context, {
      ...(dockerfileText === undefined ? {} : { dockerfileText }),
      openPrinter: (how) => openPrinter({ ...request, ...how }, context, context.stderr),
      requestOf,
      onResult(result, asked) {
        writeResultFiles(asked, result, cwd);
        if (asked.printsDigest) stdout.write(digestLines(result));
      },
    });
  }

  const printer = await openPrinter(request, context, context.stderr);
  let isTold = false;
  const steps: Seen['steps'][number][] = [];
  const warnings: ProgressEvent[] = request.warnings.map((message) => ({
    kind: 'warning',
    time: Date.now(),
    message,
  }));
  try {
    for (const warning of warnings) printer.event(warning);
    const { startBuild } = await import('../../build/start-build.ts');
    const { run } = startBuild({
      ...request.options,
      ...(dockerfileText === undefined ? {} : { dockerfileText }),
      stdin: context.stdin,
      env,
      cwd,
      signal,
      stdout,
      ...(request.debugShell
        ? {
            async onFailedStep(step) {
              isTold = true;
              await openDebugShell(step, context, { printer, debug: request.debug });
            },
          }
        : {}),
      onEvent(event) {
        if (event.kind === 'vertex') steps.push(event);
        else if (event.kind === 'warning') warnings.push(event);
        printer.event(event);
      },
    });
    const { result, trace } = await run;
    await printer.finish(result);
    const told = await toldWarnings(request, warnings.slice(request.warnings.length), env);
    writeResultFiles({ ...request, told }, result, cwd);
    const digest = request.printsDigest ? digestLines(result) : '';
    await print(digest, context);
    await remember(request, context, { result, trace, steps, warnings, stdout: digest });
    return 0;
  } catch (error) {
    await printer.finish(undefined, error);
    // The first RUN that is seen may be a trigger of the base image.
    if (isOcibuildError(error) && error.code === 'ROOTLESS_UNAVAILABLE')
      await enterNamespaceIfNeeded({ ...request.options, env, cwd }, 'must');
    const code = reportError(error, {
      // All of it stands above what was typed in the shell.
      write: (text) => context.stderr.write(isTold ? `${text.split('\n', 1)[0]}\n` : text),
      signal,
      debug: request.debug,
      json: request.progress === 'rawjson',
    });
    if (request.debugShell && !isTold) noShellNote(error, context);
    return code;
  }
}

/** What the metadata file says of warnings: nothing, unless it is asked to. */
async function toldWarnings(
  { metadataFile }: BuildRequest,
  warnings: readonly ProgressEvent[],
  env: CliContext['env'],
): Promise<readonly object[]> {
  if (metadataFile === undefined || !isSet(env.BUILDX_METADATA_WARNINGS)) return [];
  const [{ warningJson }, { redactCredentials }] = await Promise.all([
    import('../../ui/rawjson.ts'),
    import('../../errors/redact.ts'),
  ]);
  return warnings.flatMap((event) =>
    event.kind === 'warning' ? [warningJson(event, redactCredentials)] : [],
  );
}

interface Seen {
  readonly result: BuildResult;
  readonly trace: BuildTrace;
  readonly steps: readonly (ProgressEvent & { kind: 'vertex' })[];
  readonly warnings: readonly ProgressEvent[];
  readonly stdout: string;
}

/** Keeps what this command line would print if nothing changed: every step cached. */
async function remember(request: BuildRequest, context: CliContext, seen: Seen): Promise<void> {
  const { invocation, stderr } = context;
  const writesFiles = request.iidFile !== undefined || request.metadataFile !== undefined;
  if (invocation === undefined || writesFiles || request.progress === 'rawjson' || request.options.explain)
    return;
  const [{ rememberBuild }, { isFetch, isInternal }] = await Promise.all([
    import('../../build/remember.ts'),
    import('../../build/internal-steps.ts'),
  ]);
  const text: string[] = [];
  const { columns, rows } = stderr;
  const printer = await openPrinter(request, context, {
    columns,
    rows,
    destroyed: false,
    write: (line: string) => text.push(line) > 0,
  });
  for (const { vertex, name } of seen.steps) {
    if (isFetch(vertex)) continue;
    const about = { time: 0, vertex };
    printer.event({ kind: 'vertex', ...about, name });
    printer.event({ kind: 'started', ...about });
    if (!isInternal(vertex)) printer.event({ kind: 'cached', ...about });
    printer.event({ kind: 'completed', ...about });
  }
  for (const warning of seen.warnings) printer.event(warning);
  await printer.finish(repeated(seen.result));
  rememberBuild(seen.trace, invocation, { stdout: [seen.stdout], stderr: text }, context.config?.trace);
}

/** The result of the same build when nothing is left to do. */
function repeated(result: BuildResult): BuildResult {
  const { platforms, targets, totalSteps } = result;
  const found = (layers: readonly ImageLayer[]): ImageLayer[] =>
    layers.map((layer) => ({ ...layer, reused: true }));
  return {
    ...result,
    cachedSteps: totalSteps,
    ...(platforms === undefined
      ? {}
      : { platforms: platforms.map((each) => ({ ...each, layers: found(each.layers) })) }),
    ...(targets === undefined
      ? {}
      : {
          targets: Object.fromEntries(Object.entries(targets).map(([name, each]) => [name, repeated(each)])),
        }),
  };
}
