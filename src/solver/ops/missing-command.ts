/** Programs whose package has their name with every one of the package managers below. */
const SAME_NAME = new Set(
  'bash curl file gawk git gzip jq less make nano patch rsync sed sudo tar tree unzip vim wget zip'.split(
    ' ',
  ),
);

/** Where a package manager stands, the newer merged folders included, and how it installs. */
const MANAGERS: readonly { readonly paths: readonly string[]; readonly install: string }[] = [
  { paths: ['sbin/apk', 'usr/sbin/apk', 'usr/bin/apk'], install: 'apk add --no-cache' },
  { paths: ['usr/bin/apt-get'], install: 'apt-get update && apt-get install -y' },
  { paths: ['usr/bin/dnf'], install: 'dnf install -y' },
  { paths: ['usr/bin/microdnf'], install: 'microdnf install -y' },
];

/** As ash, dash, bash and zsh say it, of a command line or of a script. */
const NOT_FOUND = [
  /^\S*sh: (?:line )?(?:\d+: )?([^\s:]+): (?:command )?not found$/,
  /^\S+: (?:line )?\d+: ([^\s:]+): (?:command )?not found$/,
  /^\S*sh:\d+: command not found: (\S+)$/,
];

/** The command that a shell did not find, by the last lines that it printed. */
export function missingCommand(lines: readonly string[]): string | undefined {
  for (const line of lines.toReversed()) {
    for (const pattern of NOT_FOUND) {
      const name = pattern.exec(line.trim())?.[1];
      if (name !== undefined) return name;
    }
  }
  return undefined;
}

/**
 * How to get a command that the image lacks; without a way to install it where that is not certain.
 * @param isThere whether the image has a file at a path
 */
export function missingCommandHint(command: string | undefined, isThere: (path: string) => boolean): string {
  if (command === undefined) return 'the command was not found: check its name and the PATH of the image';
  // The kernel says ENOENT of the interpreter as well.
  if (command.includes('/'))
    return `"${command}" is not in the image, or the interpreter of its \`#!\` line is not: with Windows line breaks (CRLF) its name ends in a carriage return`;
  const lacking = `the image has no program "${command}" on its PATH`;
  const manager = SAME_NAME.has(command) ? MANAGERS.find(({ paths }) => paths.some(isThere)) : undefined;
  if (manager !== undefined)
    return `${lacking}: install it first, with \`RUN ${manager.install} ${command}\``;
  return `${lacking}: install what it is in, or check its name`;
}
