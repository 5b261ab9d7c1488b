import { COMMANDS, type Command, type CommandName } from '../commands.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import type { Flag } from '../flags/types.ts';

const VARIABLES: Readonly<Record<string, string>> = {
  OCIBUILD_ROOT: 'the store, as --root',
  OCIBUILD_RUNTIME: 'the OCI runtime, as --runtime',
  OCIBUILD_CONFIG: 'the config file, as --config',
  OCIBUILD_DEBUG: 'not empty: the stack of every error, as --debug',
  OCIBUILD_GC: 'off: the store is not cleared by itself',
  OCIBUILD_CNI_CONFIG: 'a CNI configuration list for the networks of containers',
  CNI_PATH: 'folders of CNI plugins',
  BUILDKIT_PROGRESS: 'how progress is shown, as --progress',
  'BUILDKIT_COLORS, BUILDKIT_TTY_LOG_LINES, PROGRESS_NO_TRUNC': 'how builds look on a terminal',
  DOCKER_DEFAULT_PLATFORM: 'platform of builds that name none',
  SOURCE_DATE_EPOCH: 'seconds since 1970: the time of images and of new files in them',
  'HTTP_PROXY, HTTPS_PROXY, NO_PROXY': 'ways to registries; steps get them as well',
  'DOCKER_CONFIG, REGISTRY_AUTH_FILE': 'where credentials are',
  'DOCKER_HOST, CONTAINER_HOST, DOCKER_CONTEXT': 'the daemon of --load',
  NO_COLOR: 'not empty: no colours',
};

const EXIT_CODES: Readonly<Record<string, string>> = {
  0: 'done',
  1: 'the build failed: a step, a missing file, a check',
  2: 'wrong usage, or the syntax of the Dockerfile',
  3: 'the machine lacks something; see ocibuild doctor',
  4: 'registry or network',
  70: 'a bug in ocibuild',
  130: 'interrupted',
};

/** The manual page, in the man macros of roff. @param date as 2026-01-31 @see groff_man(7) */
export function manPage(version: string, date: string): string {
  const commands = Object.entries(COMMANDS) as [CommandName, Command][];
  const lines = [
    `.TH OCIBUILD 1 "${date}" "ocibuild ${roff(version)}" "User Commands"`,
    '.SH NAME',
    'ocibuild \\- turn a Dockerfile into an OCI image, without a daemon',
    '.SH SYNOPSIS',
    ...commands
      .filter(([name]) => ['build', 'run', 'push'].includes(name))
      .flatMap(([, { usage }]) => [`.B ${roff(usage)}`, '.br']),
    '.BI "ocibuild " COMMAND " [flags] ..."',
    '.SH DESCRIPTION',
    'Builds images as \\fBdocker buildx build\\fR does, in one process.',
    'Images lie in a store, which is a plain OCI image layout.',
    'Progress and messages go to stderr; stdout has what was asked for.',
    '.PP',
    'A flag is written \\fB\\-\\-flag\\fR \\fIVALUE\\fR or \\fB\\-\\-flag=\\fIVALUE\\fR;',
    '\\fB\\-\\-\\fR ends flags.',
    '.SH COMMANDS',
    ...commands.flatMap(([name, command]) => commandLines(name, command)),
    '.SH FLAGS OF EVERY COMMAND',
    ...GLOBAL_FLAGS.flatMap(flagLines),
    '.SH ENVIRONMENT',
    ...tagged(VARIABLES),
    '.SH FILES',
    ...tagged({
      '/var/lib/ocibuild': 'the store of root',
      '~/.local/share/ocibuild': 'the store of others (XDG_DATA_HOME)',
      '~/.docker/config.json': 'credentials and their helpers',
      'ocibuild.config.ts, ocibuild.config.json, package.json':
        'defaults of flags and builds with names; the nearest file counts',
      'Dockerfile.lock': 'what ocibuild lock writes',
    }),
    '.SH EXIT STATUS',
    ...tagged(EXIT_CODES),
    'ocibuild run gives the exit code of the container.',
    '.SH EXAMPLES',
    ...COMMANDS.build.examples
      .flatMap((example) => ['.nf', `.B ${roff(example)}`, '.fi', '.PP'])
      .slice(0, -1),
    '.SH SEE ALSO',
    '.BR docker\\-buildx\\-build (1),',
    '.BR runc (8),',
    '.BR Containerfile (5)',
  ];
  return `${lines.join('\n')}\n`;
}

function commandLines(name: CommandName, { usage, summary, flags, examples }: Command): string[] {
  const shown = flags.filter(({ help, refused }) => help !== undefined && refused === undefined);
  return [
    `.SS ${roff(name)}`,
    `.B ${roff(usage)}`,
    '.PP',
    `${roff(sentence(summary))}`,
    ...shown.flatMap(flagLines),
    ...(examples.length === 0 || name === 'build'
      ? []
      : [
          '.PP',
          'For example:',
          ...examples.flatMap((example) => ['.PP', '.nf', `.B ${roff(example)}`, '.fi']),
        ]),
  ];
}

function flagLines(flag: Flag): string[] {
  const value = flag.value === undefined ? '' : `\\fI${roff(flag.value)}\\fR`;
  const short = flag.short === undefined ? '' : `\\fB\\-${flag.short}\\fR, `;
  const joined = flag.kind === 'optional' ? `[=${value}]` : value === '' ? '' : ` ${value}`;
  const many = flag.kind === 'list' ? ' May be repeated.' : '';
  const bare = flag.kind === 'optional' && flag.bare !== undefined ? ` Without a value: ${flag.bare}.` : '';
  return [
    '.TP',
    `${short}\\fB\\-\\-${roff(flag.name)}\\fR${joined}`,
    roff(`${sentence(flag.help ?? '')}${many}${bare}`),
  ];
}

function tagged(entries: Readonly<Record<string, string>>): string[] {
  return Object.entries(entries).flatMap(([name, text]) => ['.TP', `.B ${roff(name)}`, roff(sentence(text))]);
}

function sentence(text: string): string {
  const upper = /^[a-z]+(?=[ ,:;]|$)/.test(text) ? `${text[0]?.toUpperCase()}${text.slice(1)}` : text;
  return upper.endsWith('…') || upper.endsWith('.') ? upper : `${upper}.`;
}

/** Text as roff prints it: a dot or quote at the start of a line would be a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replaceAll('→', '\\(->')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replaceAll('`', '\\(ga')
    .replace(/^\./, '\\&.');
}
