import type { PastBuild } from '../../build/history/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { BUILDS_FLAGS } from '../flags/builds-flags.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { storeOf } from '../store-of.ts';
import { oneLine, table } from '../table.ts';
import type { CliContext } from '../types.ts';

const MAX_RESULT = 60;

/** `ocibuild builds [rm ID…]`: a table, ids with `-q`, or JSON; newest first. */
export async function buildsCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...BUILDS_FLAGS, ...GLOBAL_FLAGS]);
  const [verb, ...wanted] = parsed.positional;
  if (verb === 'rm') return removeBuilds(parsed, wanted, context);
  takePositional({ ...parsed, positional: parsed.positional.filter((word) => word !== 'ls') }, []);
  return buildsTable(parsed, context);
}

/** The list of builds, for flags of `builds`. */
export async function buildsTable(parsed: ParsedArgs, context: CliContext): Promise<string> {
  const { bool, text } = flagReader(parsed);
  const format = oneOf('--format', text('format') || 'table', ['table', 'json']);
  const { listBuilds } = await import('../../build/history/past-builds.ts');
  const builds = listBuilds(await storeOf(parsed, context)).map(({ build }) => build);
  if (bool('quiet')) return builds.map(({ id }) => `${id}\n`).join('');
  if (format === 'json') {
    return `${JSON.stringify(
      builds.map(({ version: _, owner: __, ...build }) => build),
      undefined,
      2,
    )}\n`;
  }
  const { shortName } = await import('../../build/images/short-name.ts');
  return tableOf(builds, shortName);
}

async function removeBuilds(
  parsed: ParsedArgs,
  wanted: readonly string[],
  context: CliContext,
): Promise<string> {
  const all = flagReader(parsed).bool('all');
  if (all === wanted.length > 0) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use "builds rm": expected ids, or --all');
  }
  const { findBuild, listBuilds, removeBuild } = await import('../../build/history/past-builds.ts');
  const root = await storeOf(parsed, context);
  const builds = all ? listBuilds(root) : wanted.map((id) => findBuild(root, id));
  const ended = builds.filter(({ build }) => build.status !== 'running');
  const [running] = builds.filter(({ build }) => build.status === 'running');
  if (running !== undefined && !all) {
    throw new OcibuildError('USAGE_INVALID', `Cannot forget the build ${running.build.id}: it is running`);
  }
  for (const build of ended) removeBuild(build);
  return ended.map(({ build }) => `${build.id}\n`).join('');
}

type ShortName = (name: string) => string;

function tableOf(builds: readonly PastBuild[], short: ShortName): string {
  return table([
    ['ID', 'STARTED', 'TIME', 'STATE', 'STEPS', 'RESULT'],
    ...builds.map((build) => [
      build.id,
      build.started.slice(0, 19).replace('T', ' '),
      timeOf(build),
      build.status,
      stepsOf(build),
      resultOf(build, short),
    ]),
  ]);
}

function timeOf({ started, ended }: PastBuild): string {
  if (ended === undefined) return '-';
  return `${((Date.parse(ended) - Date.parse(started)) / 1000).toFixed(1)}s`;
}

/** Cached, and in all; what prepares a build is none of them. */
function stepsOf({ steps }: PastBuild): string {
  const own = steps.filter(({ name }) => !/^\[internal\]|^exporting/.test(name));
  return `${own.filter(({ status }) => status === 'cached').length}/${own.length} cached`;
}

function resultOf({ names = [], digest, error, request }: PastBuild, short: ShortName): string {
  const what = names.map(short).join(', ') || request.context;
  return oneLine(error?.message.split('\n', 1)[0] ?? [what, digest?.slice(0, 19)].join(' '), MAX_RESULT);
}

/** `ocibuild logs --build ID [STEP]` */
export async function buildLogsCommand(parsed: ParsedArgs, context: CliContext): Promise<number> {
  const [step] = takePositional(parsed, [], 1);
  const { bool, text } = flagReader(parsed);
  const refused = ['since', 'timestamps'].find((flag) => parsed.flags.has(flag));
  if (refused !== undefined) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use --${refused} with --build: logs of steps have no times`,
    );
  }
  const tail = text('tail');
  const { readNumber } = await import('../containers/limit-flags.ts');
  const { showBuildLogs } = await import('../../build/history/show-logs.ts');
  const { openOutput } = await import('../containers/output.ts');
  const { write, gone } = openOutput(context);
  await showBuildLogs(await storeOf(parsed, context), text('build') || 'latest', {
    follow: bool('follow'),
    signal: AbortSignal.any([context.signal, gone]),
    ...(step === undefined ? {} : { step }),
    ...(tail === undefined || tail === 'all' ? {} : { tail: readNumber('--tail', tail) }),
    write: (data) => write('stdout', data),
  });
  return 0;
}
