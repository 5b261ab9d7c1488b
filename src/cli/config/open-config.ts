import { COMMANDS, type CommandName } from '../commands.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import type { CliContext } from '../types.ts';

/** Nothing of the config file concerns them. */
const WITHOUT: readonly CommandName[] = ['login', 'logout', 'completion', 'version', 'help'];
/** After so many words the rest belongs to another program. */
const WORDS: Partial<Record<CommandName, number>> = { run: 1, exec: 1 };

/**
 * The context of a command with the config file of its directory: root and runtime of it stand in the environment, where
 * nothing stronger does.
 * @throws CONFIG_NOT_FOUND, CONFIG_INVALID
 */
export async function withConfigFile(
  name: CommandName,
  args: readonly string[],
  context: CliContext,
  { isAgain = false }: { readonly isAgain?: boolean } = {},
): Promise<CliContext> {
  const given = WITHOUT.includes(name) ? 'none' : (configFlag(name, args) ?? context.env.OCIBUILD_CONFIG);
  if (given === 'none') return context;
  const [{ loadConfig }, { checkConfig }] = await Promise.all([
    import('../../build/config/load-config.ts'),
    import('./config.ts'),
  ]);
  const config = checkConfig(await loadConfig(context.cwd, context.env, given, { isAgain }));
  const { root, runtime } = config;
  const { env } = context;
  return {
    ...context,
    config,
    reload: () => withConfigFile(name, args, context, { isAgain: true }),
    env: {
      ...env,
      ...(root === undefined || env.OCIBUILD_ROOT ? {} : { OCIBUILD_ROOT: root }),
      ...(runtime === undefined || env.OCIBUILD_RUNTIME ? {} : { OCIBUILD_RUNTIME: runtime }),
    },
  };
}

/** A command line that cannot be read is told of by its command. */
function configFlag(name: CommandName, args: readonly string[]): string | undefined {
  try {
    const parsed = parseArgs(args, [...COMMANDS[name].flags, ...GLOBAL_FLAGS], WORDS[name]);
    return flagReader(parsed).text('config');
  } catch {
    return undefined;
  }
}
