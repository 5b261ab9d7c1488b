import { COMMANDS, type CommandName } from './commands.ts';
import { GLOBAL_FLAGS } from './flags.ts';
import type { Flag } from './types.ts';

/** The overview, or the help of one command. */
export function helpText(command?: CommandName): string {
  return command === undefined || command === 'help' ? overview() : commandHelp(command);
}

function overview(): string {
  const names = Object.keys(COMMANDS) as CommandName[];
  return `ocibuild turns a Dockerfile into an OCI image, without a daemon.

Usage: ocibuild [build] [flags] CONTEXT
       ocibuild COMMAND [flags] …

Commands:
${names.map((name) => `  ${name.padEnd(10)}${COMMANDS[name].summary}`).join('\n')}

Flags of every command:
${flagLines(GLOBAL_FLAGS)}

Examples:
${COMMANDS.build.examples.map((line) => `  ${line}`).join('\n')}

\`ocibuild help build\` shows the flags of a command.
`;
}

function commandHelp(name: CommandName): string {
  const { usage, summary, flags, examples } = COMMANDS[name];
  const parts = [`Usage: ${usage}`, `${summary[0]?.toUpperCase()}${summary.slice(1)}.`];
  if (flags.length > 0) parts.push(`Flags:\n${flagLines(flags)}`);
  parts.push(`Flags of every command:\n${flagLines(GLOBAL_FLAGS.map((flag) => withoutTaken(flag, flags)))}`);
  if (examples.length > 0) parts.push(`Examples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

/** A command may use the letter of a flag of every command for its own. */
function withoutTaken(flag: Flag, own: readonly Flag[]): Flag {
  const { short, ...rest } = flag;
  return short === undefined || own.some((each) => each.short === short) ? rest : flag;
}

function flagLines(flags: readonly Flag[]): string {
  return flags
    .filter(({ help }) => help !== undefined)
    .map((flag) => {
      const value =
        flag.value === undefined ? '' : flag.kind === 'optional' ? `[=${flag.value}]` : ` ${flag.value}`;
      const left = `${flag.short === undefined ? '    ' : `-${flag.short}, `}--${flag.name}${value}`;
      const many = flag.kind === 'list' ? ' (may be repeated)' : '';
      return `  ${left.padEnd(32)}${flag.help}${many}`;
    })
    .join('\n');
}
