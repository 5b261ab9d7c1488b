import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { didYouMean } from '../errors/suggest.ts';
import { isSet } from './build/build-options.ts';
import { COMMANDS, type CommandName, findCommand } from './commands.ts';
import { withConfigFile } from './config/open-config.ts';
import { GLOBAL_FLAGS } from './flags/global-flags.ts';
import { flagReader, parseArgs } from './flags/parse-args.ts';
import { takePositional } from './flags/positional.ts';
import { helpText } from './help/help.ts';
import { print } from './print.ts';
import { reportError } from './report.ts';
import type { CliContext } from './types.ts';

/** Runs one command line and gives its exit code. Nothing is thrown; stdout gets what was asked for, stderr the rest. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    return await dispatch(argv, context);
  } catch (error) {
    const end = argv.indexOf('--');
    const flags = end < 0 ? argv : argv.slice(0, end);
    if (
      isOcibuildError(error) &&
      error.code === 'CONFIG_INVALID' &&
      /--progress[= ]github\b/.test(flags.join(' '))
    )
      context.stderr.write(await annotationOf(error, context));
    const code = reportError(withHelp(error, argv), {
      write: (text) => context.stderr.write(text),
      signal: context.signal,
      debug: flags.includes('--debug') || flags.includes('-D') || isSet(context.env.OCIBUILD_DEBUG),
    });
    // Its 1 says that two images differ, as that of diff(1), whose word for trouble is 2.
    return code === 1 && findCommand(argv).name === 'diff' ? 2 : code;
  }
}

/** Of a fault in the file that comes before the flags, so no printer is there yet. */
async function annotationOf({ message, source }: OcibuildError, context: CliContext): Promise<string> {
  const [{ githubGroups }, { pathFromWorkspace }] = await Promise.all([
    import('../ui/group-styles.ts'),
    import('./build/build-printer.ts'),
  ]);
  return githubGroups(pathFromWorkspace('.', context)).failure(message, source);
}

/** Wrong usage that has no better hint points to the help of its command. */
function withHelp(error: unknown, argv: readonly string[]): unknown {
  if (!isOcibuildError(error) || error.category !== 'usage' || error.hint !== undefined) return error;
  const { code, message, details, source, cause } = error;
  if (!code.startsWith('USAGE_')) return error;
  return new OcibuildError(code, message, {
    ...{ hint: `see \`ocibuild help ${findCommand(argv).name}\``, details, cause },
    ...(source === undefined ? {} : { source }),
  });
}

/** Docker's words for what is called otherwise here. */
const INSTEAD: Readonly<Record<string, string>> = {
  save: 'write `ocibuild copy store:app docker-archive:app.tar:app`',
  load: 'write `ocibuild copy docker-archive:app.tar store:app`',
  image: 'leave "image" out: `ocibuild images`, `ocibuild inspect`, `ocibuild rmi`',
  container: 'leave "container" out: `ocibuild ps`, `ocibuild run`, `ocibuild rm`',
  buildx: 'leave "buildx" out: `ocibuild du`, `ocibuild prune`',
  builder: 'leave "builder" out: `ocibuild prune`',
  system: 'leave "system" out: `ocibuild du`, `ocibuild prune`',
};

/** @throws USAGE_INVALID for what is no directory but Docker's word, or by itself nearly a command */
function checkNoCommand([word = '', ...more]: readonly string[], cwd: string): void {
  const instead = Object.hasOwn(INSTEAD, word) && !existsSync(resolve(cwd, word)) ? INSTEAD[word] : undefined;
  if (instead !== undefined) {
    throw new OcibuildError('USAGE_INVALID', `Cannot do "${word}": there is no such command`, {
      hint: instead,
    });
  }
  if (more.length > 0 || !/^[a-z]{2,}$/i.test(word) || existsSync(resolve(cwd, word))) return;
  const hint = didYouMean(word, Object.keys(COMMANDS));
  if (hint === undefined) return;
  throw new OcibuildError('USAGE_INVALID', `Cannot do "${word}": no command and no directory is called so`, {
    hint,
  });
}

async function dispatch(argv: readonly string[], given: CliContext): Promise<number> {
  if (argv.length === 0) return print(helpText(), given);
  if (argv[0] === '--version' || argv[0] === '-v') return dispatch(['version', ...argv.slice(1)], given);
  if (argv[0] === '__complete') {
    return print(
      await (await import('./help/completion-command.ts')).completeWords(argv.slice(1), given),
      given,
    );
  }
  if (argv[0] === '__trial') {
    return print(await (await import('./doctor-command.ts')).trialCommand(argv.slice(1), given), given);
  }
  const { name, named, args } = findCommand(argv);
  if (!named) checkNoCommand(args, given.cwd);
  const asksHelp = isHelpAsked(name, args);
  if (asksHelp) return print(helpText(named ? (name as CommandName) : undefined), given);
  // `doctor` tells of a file that is broken, and goes on.
  const context = name === 'doctor' ? given : await withConfigFile(name as CommandName, args, given);
  switch (name as CommandName) {
    case 'build':
      return (await import('./build/build-command.ts')).buildCommand(args, context);
    case 'lock':
      return (await import('./build/lock-command.ts')).lockCommand(args, context);
    case 'images':
      return print(await (await import('./images/stored-commands.ts')).imagesCommand(args, context), context);
    case 'inspect':
      return print(
        await (await import('./images/stored-commands.ts')).inspectCommand(args, context),
        context,
      );
    case 'history':
      return print(await (await import('./images/image-commands.ts')).historyCommand(args, context), context);
    case 'builds':
      return print(await (await import('./store/builds-command.ts')).buildsCommand(args, context), context);
    case 'debug':
      return (await import('./build/debug-command.ts')).debugCommand(args, context);
    case 'diff':
      return (await import('./images/diff-command.ts')).diffCommand(args, context);
    case 'tag':
      return print(await (await import('./images/image-commands.ts')).tagCommand(args, context), context);
    case 'rmi':
      return print(await (await import('./images/image-commands.ts')).rmiCommand(args, context), context);
    case 'pull':
      return print(await (await import('./images/image-commands.ts')).pullCommand(args, context), context);
    case 'push':
      return print(await (await import('./images/image-commands.ts')).pushCommand(args, context), context);
    case 'copy':
      return print(await (await import('./images/image-commands.ts')).copyCommand(args, context), context);
    case 'login':
      return print(await (await import('./images/login-commands.ts')).loginCommand(args, context), context);
    case 'logout':
      return print(await (await import('./images/login-commands.ts')).logoutCommand(args, context), context);
    case 'unpack':
      return print(await (await import('./images/stored-commands.ts')).unpackCommand(args, context), context);
    case 'run':
      return (await import('./containers/run-command.ts')).runCommand(args, context);
    case 'ps':
      return print(
        await (await import('./containers/container-commands.ts')).psCommand(args, context),
        context,
      );
    case 'exec':
      return (await import('./containers/container-commands.ts')).execCommand(args, context);
    case 'logs':
      return (await import('./containers/container-commands.ts')).logsCommand(args, context);
    case 'stop':
      return print(
        await (await import('./containers/container-commands.ts')).stopCommand(args, context),
        context,
      );
    case 'kill':
      return print(
        await (await import('./containers/container-commands.ts')).killCommand(args, context),
        context,
      );
    case 'wait':
      return print(
        await (await import('./containers/container-commands.ts')).waitCommand(args, context),
        context,
      );
    case 'rm':
      return print(
        await (await import('./containers/container-commands.ts')).rmCommand(args, context),
        context,
      );
    case 'du':
      return print(await (await import('./store/prune-command.ts')).duCommand(args, context), context);
    case 'prune':
      return print(await (await import('./store/prune-command.ts')).pruneCommand(args, context), context);
    case 'cache':
      return (await import('./store/cache-command.ts')).cacheCommand(args, context);
    case 'doctor':
      return (await import('./doctor-command.ts')).doctorCommand(args, context);
    case 'completion':
      return print((await import('./help/completion-command.ts')).completionCommand(args), context);
    case 'version':
      return print(await (await import('./version-command.ts')).versionCommand(args), context);
    case 'help':
      return helpCommand(args, context);
  }
}

function helpCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, [...COMMANDS.help.flags, ...GLOBAL_FLAGS]);
  const [name, extra] = parsed.positional;
  const command = commandNamed(name);
  if (extra !== undefined) takePositional(parsed, ['COMMAND']);
  return print(helpText(command, flagReader(parsed).bool('all')), context);
}

/** Commands that end with another one. */
const TAKES_WORDS: readonly string[] = ['run', 'exec', 'debug'];

/** What stands after the image or the container belongs to the command in it, and `-h` of `run` is a host name. */
function isHelpAsked(name: string, args: readonly string[]): boolean {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  if (!TAKES_WORDS.includes(name)) return own.some((arg) => arg === '--help' || arg === '-h');
  const flags = [...COMMANDS[name as CommandName].flags, ...GLOBAL_FLAGS];
  try {
    return flagReader(parseArgs(own, flags, 1)).bool('help');
  } catch {
    // The command itself says what is wrong.
    return own[0] === '--help';
  }
}

function commandNamed(name: string | undefined): CommandName | undefined {
  if (name === undefined) return undefined;
  if (name === 'watch') return 'build';
  if (Object.hasOwn(COMMANDS, name)) return name as CommandName;
  throw new OcibuildError('USAGE_INVALID', `Cannot help with "${name}": there is no such command`, {
    hint: didYouMean(name, Object.keys(COMMANDS)) ?? '`ocibuild help` lists them',
  });
}
