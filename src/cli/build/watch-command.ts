import { resolve } from 'node:path';
import type { BuildOptions, BuildResult } from '../../build/options.ts';
import { exitCodeOf } from '../../errors/codes.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { CliContext } from '../types.ts';
import type { BuildRequest } from './build-options.ts';
import { endOfWatch } from './end-of-watch.ts';
import { prepareResultFiles } from './result-files.ts';
import { settingsOf } from './settings.ts';
import { createWatchReport, type OpenPrinter } from './watch-report.ts';

export interface WatchCommandOptions extends Pick<BuildOptions, 'dockerfileText'> {
  /** A printer for one build. */
  readonly openPrinter: OpenPrinter;
  /** What the command line asks for, with what the config file of a context says. */
  readonly requestOf: (context: CliContext) => BuildRequest;
  /** After each good build. */
  onResult(result: BuildResult, request: BuildRequest): void;
}

/**
 * `ocibuild build --watch`: builds until a signal ends it, or until nobody reads what it says.
 * @throws what stops the first build before it has read anything
 */
export async function watchCommand(
  first: BuildRequest,
  context: CliContext,
  { openPrinter, requestOf, onResult, ...more }: WatchCommandOptions,
): Promise<number> {
  refuseStdin(first);
  let request = first;
  const { cwd, env } = context;
  const [{ createBuildSession }, { releaseMemory }, { watchBuilds }] = await Promise.all([
    import('../../build/session/session.ts'),
    import('../../build/session/release-memory.ts'),
    import('../../watch/watch-builds.ts'),
  ]);
  // How it is shown is not changed in the middle.
  const report = await createWatchReport(first, context, openPrinter);
  await using session = createBuildSession({ ...request.options, ...more, env, cwd });
  const end = endOfWatch(context);
  await watchBuilds(session, {
    ...report,
    signal: end.signal,
    onRest: releaseMemory,
    settings: settingsOf(context, {
      async use(now) {
        const next = requestOf(now);
        refuseStdin(next);
        prepareResultFiles(next, cwd);
        await session.use({ ...next.options, ...more, env: now.env, cwd });
        request = next;
      },
      refuse: report.refuseSettings,
    }),
    written: () => writtenPaths(request, cwd),
    onEnd: (cycle) => report.onEnd(cycle, async (result) => onResult(result, request)),
  });
  report.say(end.words());
  return exitCodeOf('cancelled');
}

/** Files that the build writes itself: where they lie in the context, they must not start the next build. */
function writtenPaths({ options, iidFile, metadataFile }: BuildRequest, cwd: string): string[] {
  const outputs = options.outputs?.flatMap((output) =>
    'dest' in output && output.dest !== undefined && output.dest !== '-' ? [output.dest] : [],
  );
  return [...(outputs ?? []), ...[iidFile, metadataFile].filter((path) => path !== undefined)].map((path) =>
    resolve(cwd, path),
  );
}

function refuseStdin({ options, call }: BuildRequest): void {
  if (call !== undefined)
    throw new OcibuildError('USAGE_INVALID', 'Cannot watch with --check or --call: they build nothing');
  if (options.context === '-')
    throw new OcibuildError('USAGE_INVALID', 'Cannot watch a context from stdin: name a directory');
}
