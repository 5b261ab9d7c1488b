import { availableParallelism } from 'node:os';
import type { BuildResult } from '../../build/options.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { ProgressEvent } from '../../solver/types.ts';
import { type CommandBuild, configuredRequest } from '../config/config-builds.ts';
import { print } from '../print.ts';
import { reportError } from '../report.ts';
import type { CliContext } from '../types.ts';
import type { BuildRequest } from './build-options.ts';
import { openPrinter } from './build-printer.ts';
import { digestLines, prepareResultFiles, writeResultFiles } from './result-files.ts';

interface Named {
  readonly name: string;
  readonly request: BuildRequest;
}

/** Builds of the config file side by side, with one progress. The first that fails stops the others. */
export async function buildMany(builds: readonly CommandBuild[], context: CliContext): Promise<number> {
  const { cwd, env, signal, stderr, stdout } = context;
  const named = builds.map(
    ({ name = '', args }): Named => ({ name, request: configuredRequest(args, context) }),
  );
  const [first] = named;
  if (first === undefined) return 0;
  refuseForSeveral(named);
  for (const { request } of named) prepareResultFiles(request, cwd);
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  for (const { request } of named) await enterNamespaceIfNeeded({ ...request.options, env, cwd }, 'look');

  const printer = await openPrinter({ progress: first.request.progress }, context, stderr);
  const stop = new AbortController();
  const { startBuild } = await import('../../build/start-build.ts');
  const build = async ({ name, request }: Named): Promise<BuildResult> => {
    for (const message of request.warnings) printer.event({ kind: 'warning', time: Date.now(), message });
    try {
      const { run } = startBuild({
        jobs: Math.max(1, Math.floor(availableParallelism() / named.length)),
        ...request.options,
        ...{ env, cwd, stdout, signal: AbortSignal.any([signal, stop.signal]) },
        onEvent: (event) => printer.event(ofBuild(name, event)),
      });
      return (await run).result;
    } catch (error) {
      stop.abort(new OcibuildError('CANCELLED', `Cannot finish the build: "@${name}" failed`));
      throw error;
    }
  };
  const ended = await Promise.allSettled(named.map(build));
  const failures = ended.flatMap((end, i) =>
    end.status === 'rejected' ? [{ name: named[i]?.name ?? '', error: end.reason as unknown }] : [],
  );
  // What was only stopped is not what went wrong.
  const failure =
    failures.find(({ error }) => !isOcibuildError(error) || error.code !== 'CANCELLED') ?? failures[0];
  if (failure !== undefined) {
    await printer.finish(undefined, failure.error);
    if (isOcibuildError(failure.error) && failure.error.code === 'ROOTLESS_UNAVAILABLE')
      await enterNamespaceIfNeeded({ env, cwd }, 'must');
    const { debug, progress } = first.request;
    const json = progress === 'rawjson';
    if (!json) stderr.write(`build @${failure.name}:\n`);
    return reportError(failure.error, { write: (text) => stderr.write(text), signal, debug, json });
  }
  const results = ended.flatMap((end, i) =>
    end.status === 'fulfilled' ? [{ ...(named[i] as Named), result: end.value }] : [],
  );
  await printer.finish(together(results));
  writeFiles(results, cwd);
  for (const { request, result } of results)
    if (request.printsDigest) await print(digestLines(result), context);
  return 0;
}

function refuseForSeveral(named: readonly Named[]): void {
  const refuse = (what: string): OcibuildError =>
    new OcibuildError('USAGE_INVALID', `Cannot ${what}: ${named.map(({ name }) => `@${name}`).join(', ')}`, {
      hint: 'name one build',
    });
  for (const { request } of named) {
    if (request.call !== undefined) throw refuse('check several builds at once');
    if (request.watches) throw refuse('watch several builds at once');
    if (request.debugShell) throw refuse('open a shell in one of several builds');
    if (request.readsStdin) throw refuse('give stdin to several builds');
    if (request.options.outputs?.some((output) => 'dest' in output && output.dest === '-'))
      throw refuse('write several builds to stdout');
  }
  const seen = new Set<string>();
  for (const tag of named.flatMap(({ request }) => request.options.tags ?? [])) {
    if (seen.has(tag)) throw refuse(`give the name "${tag}" to several builds`);
    seen.add(tag);
  }
}

/** Steps of different builds are apart, also where they are the same step. */
function ofBuild(name: string, event: ProgressEvent): ProgressEvent {
  const own = (vertex: string): string => vertex.replace(/^(internal:)?/, `$1${name}/`);
  if (event.kind === 'planned') return { ...event, vertices: event.vertices.map(own) };
  if (event.vertex === undefined) return event;
  const vertex = own(event.vertex);
  if (event.kind !== 'vertex') return { ...event, vertex };
  const inner = event.name.startsWith('[') ? event.name.replace('[', `[${name} `) : `[${name}] ${event.name}`;
  const inputs = event.inputs === undefined ? {} : { inputs: event.inputs.map(own) };
  return { ...event, vertex, name: inner, ...inputs };
}

function together(results: readonly { readonly name: string; readonly result: BuildResult }[]): BuildResult {
  const sum = (count: (result: BuildResult) => number): number =>
    results.reduce((total, { result }) => total + count(result), 0);
  return {
    targets: Object.fromEntries(results.map(({ name, result }) => [name, result])),
    config: results.at(-1)?.result.config ?? ({} as BuildResult['config']),
    names: results.flatMap(({ result }) => result.names),
    cachedSteps: sum(({ cachedSteps }) => cachedSteps),
    totalSteps: sum(({ totalSteps }) => totalSteps),
  };
}

/** A file that several builds write has all of them, by their names. */
function writeFiles(results: readonly (Named & { readonly result: BuildResult })[], cwd: string): void {
  for (const key of ['iidFile', 'metadataFile'] as const) {
    const groups = Map.groupBy(results, ({ request }) => request[key]);
    for (const [path, group] of groups) {
      if (path === undefined) continue;
      const [only] = group;
      const result = group.length === 1 && only !== undefined ? only.result : together(group);
      writeResultFiles({ [key]: path }, result, cwd);
    }
  }
}
