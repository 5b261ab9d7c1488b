import type { DoctorReport, Finding } from '../build/doctor/types.ts';
import { isOcibuildError } from '../errors/error.ts';
import { withConfigFile } from './config/open-config.ts';
import { DOCTOR_FLAGS } from './flags/doctor-flags.ts';
import { GLOBAL_FLAGS } from './flags/global-flags.ts';
import { oneOf } from './flags/one-of.ts';
import { flagReader, parseArgs } from './flags/parse-args.ts';
import { takePositional } from './flags/positional.ts';
import { print } from './print.ts';
import { storeOf } from './store-of.ts';
import type { CliContext } from './types.ts';

/** The command that tries a container inside a user namespace; for `doctor` only. */
const TRIAL_COMMAND = '__trial';

const EXIT_LACKING = 3;

/** `ocibuild doctor`: 0 when a build with RUN works here, 3 otherwise. */
export async function doctorCommand(args: readonly string[], given: CliContext): Promise<number> {
  const { context, finding } = await openConfig(args, given);
  const { env, cwd, signal } = context;
  const parsed = parseArgs(args, [...DOCTOR_FLAGS, ...GLOBAL_FLAGS]);
  takePositional(parsed, []);
  const { text } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'text', ['text', 'json']);
  const root = await storeOf(parsed, context);
  const runtime = text('runtime') ?? env.OCIBUILD_RUNTIME;
  const { diagnose } = await import('../build/doctor/doctor.ts');
  const { execPath, execArgv, argv } = process;
  const self = [execPath, ...execArgv, argv[1] ?? '', TRIAL_COMMAND, root];
  const diagnosed = await diagnose({
    ...{ root, env, cwd, signal, selfCommand: runtime === undefined ? self : [...self, runtime] },
    ...(runtime === undefined ? {} : { runtime }),
  });
  const report = { ...diagnosed, findings: [...diagnosed.findings, ...finding] };
  const shown = format === 'json' ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report);
  await print(shown, context);
  return report.works ? 0 : EXIT_LACKING;
}

/** Root and runtime may stand in the config file. */
async function openConfig(
  args: readonly string[],
  given: CliContext,
): Promise<{ readonly context: CliContext; readonly finding: readonly Finding[] }> {
  try {
    const context = await withConfigFile('doctor', args, given);
    const path = context.config?.path;
    return {
      context,
      finding: path === undefined ? [] : [{ id: 'config', status: 'ok', message: `"${path}"` }],
    };
  } catch (error) {
    if (!isOcibuildError(error)) throw error;
    const fix = 'repair it, or leave it out: --config none';
    return { context: given, finding: [{ id: 'config', status: 'warn', message: error.message, fix }] };
  }
}

/** Runs in a process of its own, which enters a user namespace where it is not root. */
export async function trialCommand(
  [root = '', runtime]: readonly string[],
  context: CliContext,
): Promise<string> {
  const { env, cwd, signal } = context;
  const { enterNamespaceIfNeeded } = await import('../build/user-namespace.ts');
  await enterNamespaceIfNeeded({ env, cwd }, 'must');
  const { trial } = await import('../build/doctor/trial.ts');
  return JSON.stringify(
    await trial({ root, env, cwd, signal, ...(runtime === undefined ? {} : { runtime }) }),
  );
}

/** One line each, and below it what puts it right. */
export function reportText({ works, findings }: DoctorReport): string {
  const width = Math.max(...findings.map(({ id }) => id.length)) + 2;
  const lines = findings.map(({ id, status, message, fix }: Finding) => {
    const line = `${status.padEnd(6)}${id.padEnd(width)}${message}`;
    return fix === undefined ? line : `${line}\n${' '.repeat(6 + width)}→ ${fix}`;
  });
  const end = works ? 'Builds work here, also those with RUN.' : 'Builds with RUN do not work here yet.';
  return `${[...lines, '', end].join('\n')}\n`;
}
