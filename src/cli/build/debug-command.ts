import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { storeOf } from '../store-of.ts';
import type { CliContext } from '../types.ts';
import { checkTerminal, shellNote } from './debug-shell.ts';

/** `ocibuild debug [BUILD [CMD…]]`: gives the exit code of the shell or the command. */
export async function debugCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, GLOBAL_FLAGS, 1);
  const [build = 'latest', ...words] = parsed.positional;
  const { env, cwd, stdin, stdout, stderr } = context;
  if (words.length === 0) {
    checkTerminal(context, 'a shell', 'name a program to run in its place: ocibuild debug latest CMD');
  }
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  await enterNamespaceIfNeeded({ env, cwd }, 'must');
  const [{ enterFailedStep }, { orExitCode }, { openOutput }] = await Promise.all([
    import('../../build/failed/enter-step.ts'),
    import('../containers/run-command.ts'),
    import('../containers/output.ts'),
  ]);
  const runtime = flagReader(parsed).text('runtime') ?? env.OCIBUILD_RUNTIME;
  const { write, gone } = openOutput(context);
  const signal = AbortSignal.any([context.signal, gone]);
  const where = { root: await storeOf(parsed, context), build, env, signal };
  return enterFailedStep({ ...where, ...(runtime === undefined ? {} : { runtime }) }, (step) => {
    if (words.length === 0) stderr.write(`${step.name}\n${step.message}\n${shellNote(step)}`);
    const terminal = stdin.isTTY === true && stdout.isTTY === true;
    return orExitCode(context, () =>
      step.run(words.length === 0 ? step.shell : words, {
        terminal,
        env: terminal && env.TERM !== undefined ? [`TERM=${env.TERM}`] : [],
        onOutput: write,
      }),
    );
  });
}
