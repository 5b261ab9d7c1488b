import type { PackageNames } from './types.ts';

/** What makes a command root's. */
export type RootBy = 'nothing' | 'sudo' | 'su';

const MANAGERS = {
  apt: 'apt-get install',
  dnf: 'dnf install',
  apk: 'apk add',
} as const;

/** The package manager of a distribution. @see os-release(5), `ID` and `ID_LIKE` */
export function packageManager(osRelease: string): keyof typeof MANAGERS {
  const value = (key: string): string =>
    new RegExp(`^${key}=(.*)$`, 'm').exec(osRelease)?.[1]?.replaceAll(/["']/g, '') ?? '';
  const names = `${value('ID')} ${value('ID_LIKE')}`.split(/\s+/);
  if (names.includes('alpine')) return 'apk';
  return names.some((name) => ['fedora', 'rhel', 'centos'].includes(name)) ? 'dnf' : 'apt';
}

/** A command to paste that installs packages on this distribution. */
export function installCommand(osRelease: string, names: PackageNames, by: RootBy): string {
  const manager = packageManager(osRelease);
  return rootCommand(`${MANAGERS[manager]} ${names[manager] ?? names.apt}`, by);
}

export function rootCommand(command: string, by: RootBy): string {
  return { nothing: command, sudo: `sudo ${command}`, su: `su -c '${command}'` }[by];
}
