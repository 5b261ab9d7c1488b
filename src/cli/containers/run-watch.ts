import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ForegroundService } from '../../build/containers/foreground-service.ts';
import type { Container } from '../../build/containers/types.ts';
import type { BuildResult } from '../../build/options.ts';
import { exitCodeOf } from '../../errors/codes.ts';
import type { SyncRules } from '../../watch/sync-rules.ts';
import type { BuildRequest } from '../build/build-options.ts';
import { endOfWatch } from '../build/end-of-watch.ts';
import { settingsOf } from '../build/settings.ts';
import { createWatchReport, type OpenPrinter } from '../build/watch-report.ts';
import { flagReader } from '../flags/parse-args.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { reportError } from '../report.ts';
import type { CliContext } from '../types.ts';
import { openOutput } from './output.ts';

export interface RunWatchOptions {
  /** What is built, and how it is shown. */
  readonly request: BuildRequest;
  /** The same with what the config file of a context says. */
  readonly requestOf: (context: CliContext) => BuildRequest;
  readonly parsed: ParsedArgs;
  /** The store. */
  readonly root: string;
  readonly openPrinter: OpenPrinter;
  /** Makes a container of the image; without a name of its own choice it gets a new one. */
  prepare(built: BuildResult, name: string | undefined): Promise<Container>;
}

/** `ocibuild run --watch`: builds and runs, and after each good build runs the new image in place of the old one. */
export async function runWatch(
  { request, requestOf, parsed, root, openPrinter, prepare }: RunWatchOptions,
  context: CliContext,
): Promise<number> {
  const { cwd, env, stderr } = context;
  const output = openOutput(context);
  const end = endOfWatch(context);
  const { signal } = end;
  const rules = await readRules(parsed, cwd);
  const [{ createBuildSession }, { releaseMemory }, { watchBuilds }, { startService }] = await Promise.all([
    import('../../build/session/session.ts'),
    import('../../build/session/release-memory.ts'),
    import('../../watch/watch-builds.ts'),
    import('../../build/containers/foreground-service.ts'),
  ]);
  const report = await createWatchReport(request, context, openPrinter);
  for (const { source } of rules.sync) {
    if (!existsSync(source)) report.say(`${source} does not exist yet: nothing is copied from it`);
  }
  await using session = createBuildSession({ ...request.options, root, env, cwd });
  let service: ForegroundService | undefined;
  const complain = (error: unknown): void => {
    reportError(error, { write: (text) => stderr.write(text), signal, debug: request.debug });
  };
  let name: string | undefined;
  const stop = async (): Promise<void> => {
    const before = service;
    service = undefined;
    const old = before?.now();
    // A program may take its time, up to `--stop-timeout`.
    if (old?.state.status === 'running') report.say(`stopping ${old.plan.name}`);
    await before?.close();
  };
  const start = async (result: BuildResult): Promise<void> => {
    const container = await prepare(result, name);
    name = container.plan.name;
    report.say(`starting ${name}`);
    service = startService(container, {
      ...{ root, env },
      onOutput: output.write,
      onWarnings: (warnings) => {
        for (const warning of warnings) stderr.write(`warning: ${warning}\n`);
      },
      onEnd({ code, error }) {
        if (error !== undefined) complain(error);
        report.say(error === undefined ? `the program ended with code ${code}` : 'the program did not start');
      },
    });
  };
  let latest: BuildResult | undefined;
  /** What the container runs on; undefined once files were copied into it. */
  let current: string | undefined;
  let replacing: Promise<void> | undefined;
  /** Saves do not wait for a program that is slow to end: only the image that is the latest by then is run. */
  const replace = async (): Promise<void> => {
    while (latest !== undefined && !signal.aborted) {
      if (latest.digest === current && service?.now()?.state.status === 'running') {
        latest = undefined;
        report.say(`the image is the same: ${name} goes on`);
        continue;
      }
      try {
        await stop();
        const result = latest;
        latest = undefined;
        current = result.digest;
        if (!signal.aborted) await start(result);
      } catch (error) {
        // A container that cannot be made is no reason to end: the next image may put it right.
        if (!signal.aborted) complain(error);
      }
    }
  };
  const wanted = (path: string, isDir: boolean): boolean =>
    session.inputs().trees?.every(({ dir, ignore }) => {
      const inside = path.startsWith(`${dir}/`) ? path.slice(dir.length + 1) : undefined;
      return inside === undefined || ignore === undefined || !ignore.excluded(inside, isDir);
    }) !== false;
  try {
    await watchBuilds(session, {
      ...report,
      signal,
      settings: settingsOf(context, {
        // The store is that of the container.
        use: (now) => session.use({ ...requestOf(now).options, root, env, cwd }),
        refuse: report.refuseSettings,
      }),
      onRest: releaseMemory,
      more: rules.sync.map(({ source }) => source),
      onEnd: (cycle) =>
        report.onEnd(cycle, async (result) => {
          latest = result;
          replacing ??= replace().finally(() => {
            replacing = undefined;
          });
        }),
      async takeOver(changed) {
        const { canSync, syncFiles } = await import('../../build/containers/sync-files.ts');
        const { planSync } = await import('../../watch/sync-rules.ts');
        const plan = planSync(changed, rules);
        if (plan.build.length > 0) return changed;
        const container = await service?.started(signal).catch(() => undefined);
        if (container?.state.status !== 'running' || !canSync(container)) return changed;
        try {
          current = undefined;
          const count = syncFiles(plan.copies, { container, wanted });
          const names = (await import('../../watch/describe.ts')).describeChanges(changed, cwd);
          report.say(`${names}: ${count} updated in the container${plan.restart ? ', started again' : ''}`);
          if (plan.restart) await service?.restart();
          return [];
        } catch (error) {
          complain(error);
          return changed;
        }
      },
    });
  } finally {
    await replacing;
    await stop();
  }
  report.say(end.words());
  return exitCodeOf('cancelled');
}

async function readRules(parsed: ParsedArgs, cwd: string): Promise<SyncRules> {
  const { parseSyncRule } = await import('../../watch/sync-rules.ts');
  const { list } = flagReader(parsed);
  const sync = [
    ...list('sync').map((text) => parseSyncRule(text, { cwd, restart: false })),
    ...list('sync-restart').map((text) => parseSyncRule(text, { cwd, restart: true })),
  ];
  return { sync, rebuild: list('rebuild').map((path) => resolve(cwd, path)) };
}
