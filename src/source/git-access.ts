import { OcibuildError } from '../errors/error.ts';
import type { GitSource } from '../llb/ops.ts';
import { decodePercent } from '../util/decode-percent.ts';
import type { SecretValue, SshIdentity } from './types.ts';

/** How a remote is reached: what git is told beside the address, and what must not be shown. */
export interface GitAccess {
  /** The address for a command line, which every user of the machine can read: without a password. */
  readonly remote: string;
  readonly config: readonly (readonly [string, string])[];
  readonly extra: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
}

export interface GitAccessDeps {
  readonly secret: SecretValue;
  readonly ssh: (id: string) => Promise<SshIdentity | undefined>;
  /** Where the keys of hosts are kept that were seen once. */
  readonly knownHostsFile: string;
  /** Lists of the user and of the machine; they are only read. */
  readonly otherKnownHosts: readonly string[];
}

/** @throws GIT_FAILED where an ssh remote has nobody to sign */
export async function gitAccess(source: GitSource, deps: GitAccessDeps): Promise<GitAccess> {
  if (source.ssh !== undefined) return sshAccess(source, source.ssh, deps);
  const { remote } = source;
  const url = URL.parse(remote);
  const password = url?.password ?? '';
  const secrets = password === '' ? [] : [decodePercent(password), password];
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
    return { remote, config: [], extra: {}, secrets };
  // For this host alone: neither a redirect nor a submodule elsewhere gets it.
  const host = `${url.protocol}//${url.host}`;
  const own = password === '' ? { remote, config: [], extra: {} } : passwordAccess(url, host);
  const header = authorization(url, deps.secret);
  if (header === undefined) return { ...own, secrets };
  const config = [...own.config, [`http.${host}/.extraheader`, `Authorization: ${header.text}`]] as const;
  return { ...own, config, secrets: [...secrets, header.text, ...header.secrets] };
}

/** What stands in an address is given when the server asks, from variables that only this user can read. */
function passwordAccess(url: URL, host: string): Omit<GitAccess, 'secrets'> {
  const answer = 'printf "username=%s\\npassword=%s\\n" "$OCIBUILD_GIT_USER" "$OCIBUILD_GIT_PASSWORD"';
  return {
    remote: withoutUser(url),
    config: [[`credential.${host}.helper`, `!f() { test "$1" != get || ${answer}; }; f`]],
    extra: {
      OCIBUILD_GIT_USER: decodePercent(url.username),
      OCIBUILD_GIT_PASSWORD: decodePercent(url.password),
    },
  };
}

export function withoutUser(url: URL): string {
  return Object.assign(new URL(url), { username: '', password: '' }).href;
}

interface Header {
  readonly text: string;
  readonly secrets: readonly string[];
}

/** The more special secret wins, then the whole header. */
function authorization(url: URL, secret: SecretValue): Header | undefined {
  const suffixes = [...new Set([`.${url.host}`, `.${url.hostname}`]), ''];
  for (const suffix of suffixes) {
    const header = secret(`GIT_AUTH_HEADER${suffix}`);
    if (header !== undefined) return { text: textOf(header), secrets: [] };
    const token = secret(`GIT_AUTH_TOKEN${suffix}`);
    if (token === undefined) continue;
    const encoded = Buffer.from(`x-access-token:${textOf(token)}`).toString('base64');
    return { text: `basic ${encoded}`, secrets: [textOf(token), encoded] };
  }
  return undefined;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8').trim();
}

async function sshAccess(source: GitSource, id: string, deps: GitAccessDeps): Promise<GitAccess> {
  const identity = await deps.ssh(id);
  if (identity === undefined) {
    throw new OcibuildError('GIT_FAILED', `Cannot read "${source.remote}": no SSH agent was given for it`, {
      hint: `start one with ssh-agent and pass --ssh ${id}, or name a key: --ssh ${id}=FILE`,
    });
  }
  const keys = 'keyFiles' in identity ? identity.keyFiles : [];
  const command = [
    'ssh',
    ...['-F', '/dev/null'],
    ...option('BatchMode', 'yes'),
    // A host is believed the first time, and held to its key from then on.
    ...option('StrictHostKeyChecking', 'accept-new'),
    ...option('UserKnownHostsFile', quoted([deps.knownHostsFile])),
    ...option('GlobalKnownHostsFile', quoted(deps.otherKnownHosts)),
    ...keys.flatMap((file) => ['-i', file]),
    ...(keys.length === 0 ? [] : option('IdentitiesOnly', 'yes')),
  ];
  const agent: Record<string, string> = 'socket' in identity ? { SSH_AUTH_SOCK: identity.socket } : {};
  return {
    remote: source.remote,
    config: [],
    extra: { ...agent, GIT_SSH_VARIANT: 'ssh', GIT_SSH_COMMAND: command.map(shellWord).join(' ') },
    secrets: [],
  };
}

function option(name: string, value: string): readonly string[] {
  return ['-o', `${name}=${value}`];
}

/** ssh splits the value of such an option at blanks. */
function quoted(paths: readonly string[]): string {
  return paths.map((path) => `"${path}"`).join(' ');
}

/** Git gives the command to a shell. */
function shellWord(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
