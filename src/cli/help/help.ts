import { COMMANDS, type CommandName } from '../commands.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import type { Flag } from '../flags/types.ts';

const MAX_COLUMNS = 80;

/** The overview, or the help of one command: of seldom used flags only the names, unless `all`. */
export function helpText(command?: CommandName, all = false): string {
  return command === undefined || command === 'help' ? overview() : commandHelp(command, all);
}

function overview(): string {
  const names = Object.keys(COMMANDS) as CommandName[];
  return `ocibuild turns a Dockerfile into an OCI image, without a daemon.

Usage: ocibuild [build] [flags] CONTEXT
       ocibuild COMMAND [flags] …

Commands:
${names.map((name) => `  ${name.padEnd(12)}${COMMANDS[name].summary}`).join('\n')}

Flags of every command:
${flagLines(GLOBAL_FLAGS)}

Example: ${COMMANDS.build.examples[0]}

\`ocibuild help build\` shows the flags of a command.
`;
}

function commandHelp(name: CommandName, all: boolean): string {
  const { usage, summary, flags, examples } = COMMANDS[name];
  const rare = all ? [] : flags.filter((flag) => flag.rare === true && flag.help !== undefined);
  const parts = [`Usage: ${usage}`, `${summary[0]?.toUpperCase()}${summary.slice(1)}.`];
  if (flags.length > 0) {
    const shown = flags.filter((flag) => !rare.includes(flag));
    const more = rare.length === 0 ? '' : `\n${rareLines(name, rare)}`;
    const many = shown.some(({ kind }) => kind === 'list') ? ' (+: may be repeated)' : '';
    parts.push(`Flags${many}:\n${flagLines(shown)}${more}`);
  }
  parts.push(
    `Flags of every command:\n${flagLines(GLOBAL_FLAGS.flatMap((flag) => withoutTaken(flag, flags)))}`,
  );
  if (examples.length > 0) parts.push(`Examples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

/** A command may use the letter, or the name, of a flag of every command for its own. */
function withoutTaken(flag: Flag, own: readonly Flag[]): Flag | readonly [] {
  const { short, ...rest } = flag;
  if (own.some((each) => each.name === flag.name)) return [];
  return short === undefined || own.some((each) => each.short === short) ? rest : flag;
}

function flagLines(flags: readonly Flag[]): string {
  return flags
    .filter(({ help }) => help !== undefined)
    .map((flag) => {
      const value =
        flag.value === undefined ? '' : flag.kind === 'optional' ? `[=${flag.value}]` : ` ${flag.value}`;
      const left = `${flag.short === undefined ? '    ' : `-${flag.short}, `}--${flag.name}${value}`;
      return `  ${left.length < 26 ? left.padEnd(26) : `${left} `}${flag.kind === 'list' ? '+ ' : '  '}${flag.help}`;
    })
    .join('\n');
}

/** Names of flags, as many on a line as fit. */
function rareLines(command: CommandName, flags: readonly Flag[]): string {
  const lines = [`  more (\`ocibuild help --all ${command}\`):`];
  for (const { name } of flags) {
    const longer = `${lines.at(-1)} --${name}`;
    if (longer.length <= MAX_COLUMNS) lines[lines.length - 1] = longer;
    else lines.push(`      --${name}`);
  }
  return lines.join('\n');
}
