import type { FailedStep } from '../../build/options.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { Printer } from '../../ui/types.ts';
import { reportError } from '../report.ts';
import type { CliContext } from '../types.ts';

/** @throws USAGE_INVALID where nobody can type into a shell */
export function checkTerminal(
  { stdin, stdout }: Pick<CliContext, 'stdin' | 'stdout'>,
  what: string,
  hint = 'to get files out of a failed step: --export-on-failure STEP:/path=dest',
): void {
  if (stdin.isTTY === true && stdout.isTTY === true) return;
  const which = stdin.isTTY === true ? 'stdout' : 'stdin';
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${what} without a terminal: ${which} is none`, {
    hint,
  });
}

/** Why there was no shell, where one was asked for. */
export function noShellNote(error: unknown, { signal, stderr }: Pick<CliContext, 'signal' | 'stderr'>): void {
  if (signal.aborted || !isOcibuildError(error) || error.category !== 'build') return;
  stderr.write('note: --debug-shell opened no shell: only a RUN that has started can be stepped into\n');
}

export interface DebugShellOptions {
  readonly printer: Pick<Printer, 'finish'>;
  readonly debug: boolean;
}

/** Shows the error of a failed step, then opens a shell in it. */
export async function openDebugShell(
  step: FailedStep,
  { stderr, env, signal }: CliContext,
  { printer, debug }: DebugShellOptions,
): Promise<void> {
  await printer.finish();
  const write = (text: string): void => void stderr.write(text);
  reportError(step.error, { write, signal, debug });
  await typeIn(step, { env, stderr });
}

/** A shell in a failed step, on this terminal, until it ends. */
async function typeIn(step: FailedStep, { env, stderr }: Pick<CliContext, 'env' | 'stderr'>): Promise<void> {
  stderr.write(`\n${shellNote(step)}`);
  const terminal = env.TERM === undefined ? [] : [`TERM=${env.TERM}`];
  try {
    await step.run(step.shell, { terminal: true, env: terminal });
  } catch (error) {
    if (!isOcibuildError(error) || error.category === 'cancelled') throw error;
    stderr.write(`warning: ${error.message}\n`);
    if (error.code === 'RUN_START_FAILED')
      stderr.write('note: `ocibuild debug latest CMD` runs a program of the image in the step\n');
  }
}

/** What is typed at, and how to leave it. */
export function shellNote({ shell, cwd }: Pick<FailedStep, 'shell' | 'cwd'>): string {
  return `${shell.join(' ')} in the failed step, in ${cwd}; \`exit\` ends it\n`;
}
