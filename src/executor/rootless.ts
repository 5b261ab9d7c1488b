import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { userInfo } from 'node:os';
import { text } from 'node:stream/consumers';
import { OcibuildError } from '../errors/error.ts';
import { readText } from '../util/read-text.ts';
import { findProgram } from './find-program.ts';

/** Set in the environment of a process that `enterUserNamespace` made; the process is root there. */
export const ROOTLESS_MARKER = 'OCIBUILD_USERNS';

/** Who asks, and how the host is read; the defaults of `build` and `cli` are the running process's own. */
export interface UserNamespaceOptions {
  readonly uid: number;
  readonly gid: number;
  readonly userName: string;
  /** The Node binary and its own options. */
  readonly execPath: string;
  readonly execArgv: readonly string[];
}

/** A range of ids in the form of newuidmap(1). */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Who runs this process. In a container that may be a number that no user has. */
export function currentUser(): Pick<UserNamespaceOptions, 'uid' | 'gid' | 'userName'> {
  try {
    const { uid, gid, username: userName } = userInfo();
    return { uid, gid, userName };
  } catch {
    const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
    return { uid, gid, userName: String(uid) };
  }
}

/** As useradd(8) counts them out. */
const FIRST_SUB_ID = 100_000;
const SUB_ID_COUNT = 65_536;

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Waits in the new namespace until its ids are mapped, then becomes Node. TERM comes from the mapper when the maps
 * are refused, with the reason already on stderr; 3 is the exit code of a machine that lacks something. Should the
 * mapper have been killed, the wait ends by itself.
 */
const WAIT_FOR_MAPS = `
trap 'exit 3' TERM
tries=0
until read -r first </proc/self/uid_map; do
  tries=$((tries + 1)); [ $tries -lt 10000 ] || exit 3
  sleep 0.005 2>/dev/null || sleep 1
done
trap - TERM
exec "$@"
`;

const MAP_IDS = `
pid=$1 old=$2 newuidmap=$3 newgidmap=$4 uids=$5 gids=$6
map_ids() {
  tries=0
  while [ "$(readlink /proc/$pid/ns/user)" = "$old" ]; do
    tries=$((tries + 1)); [ $tries -lt 1000 ] || exit 2
    sleep 0.005 2>/dev/null || sleep 1
  done
  "$newgidmap" $pid $gids && "$newuidmap" $pid $uids
}
`;

const MAPS_REFUSED = 'Cannot map the ids of /etc/subuid and /etc/subgid into a user namespace';

/** Runs outside, as an orphan, so that Node does not end up with a child that it does not know. */
const MAP_IDS_BESIDE = `${MAP_IDS}
(
  map_ids || {
    echo "error[ROOTLESS_UNAVAILABLE]: ${MAPS_REFUSED}" >&2
    kill -TERM $pid
  }
) </dev/null >/dev/null &
`;

/** A mount namespace inside a user namespace shows that we get real powers there and not just the namespace. */
const PROBE = ['-U', '-r', '-m', 'true'];

/**
 * Replaces this process by the same program inside a user namespace, where it is root and owns the ids of
 * /etc/subuid and /etc/subgid. Same pid, terminal, signals and exit status: for whoever started us nothing changes.
 * `argv` is the script and its arguments. Returns only by throwing; do whatever needs no namespace before.
 * @throws ROOTLESS_UNAVAILABLE with what is missing and how to get it
 */
export function enterUserNamespace(argv: readonly string[], env: Env, options: UserNamespaceOptions): never {
  const tools = findTools(env.PATH ?? '');
  const map = mapperArguments(tools, options);
  const probe = spawnSync(tools.unshare, PROBE, { env: { ...env }, encoding: 'utf8' });
  checkProbe(probe.status, probe.error?.message ?? probe.stderr);

  spawnSync('/bin/sh', ['-c', MAP_IDS_BESIDE, 'ocibuild-map', ...map(process.pid)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...env, [ROOTLESS_MARKER]: undefined },
  });
  const defined = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return execve(tools.unshare, ['unshare', ...unshareArguments(argv, options)], {
    ...Object.fromEntries(defined),
    [ROOTLESS_MARKER]: String(options.uid),
  });
}

/**
 * Starts a script in a user namespace as `enterUserNamespace` makes it, as a child with a channel (the last of
 * `stdio`) on which a message is a structured clone.
 * @throws ROOTLESS_UNAVAILABLE with what is missing and how to get it
 */
export async function spawnInUserNamespace(
  argv: readonly string[],
  env: Env,
  options: UserNamespaceOptions & { readonly stdio: StdioOptions },
): Promise<ChildProcess> {
  const tools = findTools(env.PATH ?? '');
  const map = mapperArguments(tools, options);
  const probe = await outcomeOf(tools.unshare, PROBE, env);
  checkProbe(probe.status, probe.stderr);

  const child = spawn(tools.unshare, unshareArguments(argv, options), {
    stdio: options.stdio,
    serialization: 'advanced',
    env: { ...env, [ROOTLESS_MARKER]: String(options.uid) },
  });
  await once(child, 'spawn').catch((error: Error) => checkProbe(null, error.message));
  const mapper = await outcomeOf(
    '/bin/sh',
    ['-c', `${MAP_IDS}map_ids`, 'ocibuild-map', ...map(child.pid)],
    env,
  );
  if (mapper.status === 0) return child;
  child.kill('SIGKILL');
  throw new OcibuildError('ROOTLESS_UNAVAILABLE', `${MAPS_REFUSED}${reasonOf(mapper.stderr)}`);
}

/** The id ranges that a text in the form of /etc/subuid gives a user, by name or number. */
export function parseSubIds(text: string, user: { readonly name: string; readonly uid: number }): IdRange[] {
  let inside = 1;
  return text.split('\n').flatMap((line): IdRange[] => {
    const [owner, start = '', size = ''] = line.trim().split(':');
    if (owner !== user.name && owner !== String(user.uid)) return [];
    const range = { inside, outside: Number(start), count: Number(size) };
    if (!Number.isSafeInteger(range.outside) || !Number.isSafeInteger(range.count) || range.count <= 0)
      return [];
    inside += range.count;
    return [range];
  });
}

/** Gives a user ids behind those that others have: two users with one id could touch each other's files. `texts` are
 * those of /etc/subuid and /etc/subgid. @see usermod(8) */
export function subIdsCommand(userName: string, texts: readonly string[]): string {
  const ends = texts
    .flatMap((text) => text.split('\n'))
    .map((line) => line.split(':').slice(1).map(Number))
    .map(([start = 0, count = 0]) => start + count)
    .filter(Number.isSafeInteger);
  const first = Math.max(FIRST_SUB_ID, ...ends);
  const range = `${first}-${first + SUB_ID_COUNT - 1}`;
  return `usermod --add-subuids ${range} --add-subgids ${range} ${userName}`;
}

interface Tools {
  readonly unshare: string;
  readonly newuidmap: string;
  readonly newgidmap: string;
}

function findTools(searchPath: string): Tools {
  const find = (name: string, debianPackage: string): string => {
    const path = findProgram(name, searchPath);
    if (path !== undefined) return path;
    throw missing(`"${name}" is not installed`, `sudo apt-get install ${debianPackage}`);
  };
  return {
    unshare: find('unshare', 'util-linux'),
    newuidmap: find('newuidmap', 'uidmap'),
    newgidmap: find('newgidmap', 'uidmap'),
  };
}

function ownRanges(file: string, options: UserNamespaceOptions): IdRange[] {
  const ranges = parseSubIds(readText(file) ?? '', { name: options.userName, uid: options.uid });
  if (ranges.length > 0) return ranges;
  throw missing(
    `${file} has no range of ids for "${options.userName}"`,
    `sudo ${subIdsCommand(
      options.userName,
      ['/etc/subuid', '/etc/subgid'].map((path) => readText(path) ?? ''),
    )}`,
  );
}

/** Arguments of newuidmap: our own id is 0, the ranges follow from 1. */
function mapOf(own: number, ranges: readonly IdRange[]): number[] {
  return [0, own, 1, ...ranges.flatMap(({ inside, outside, count }) => [inside, outside, count])];
}

function mapperArguments(
  tools: Tools,
  options: UserNamespaceOptions,
): (pid: number | undefined) => readonly string[] {
  const uids = mapOf(options.uid, ownRanges('/etc/subuid', options));
  const gids = mapOf(options.gid, ownRanges('/etc/subgid', options));
  const oldNamespace = readlinkSync('/proc/self/ns/user');
  const { newuidmap, newgidmap } = tools;
  return (pid) => [String(pid), oldNamespace, newuidmap, newgidmap, uids.join(' '), gids.join(' ')];
}

function unshareArguments(
  argv: readonly string[],
  { execPath, execArgv }: UserNamespaceOptions,
): readonly string[] {
  // Node looks for flags of its own behind the script as well, where no "--" ends them.
  const node = [execPath, ...execArgv, '--', ...argv];
  return ['-U', '/bin/sh', '-c', WAIT_FOR_MAPS, 'ocibuild', ...node];
}

async function outcomeOf(
  file: string,
  args: readonly string[],
  env: Env,
): Promise<{ readonly status: number | null; readonly stderr: string }> {
  const child = spawn(file, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...env, [ROOTLESS_MARKER]: undefined },
  });
  const ended = once(child, 'exit');
  try {
    const [stderr, [status]] = await Promise.all([text(child.stderr), ended]);
    return { status: status as number | null, stderr };
  } catch (error) {
    return { status: null, stderr: error instanceof Error ? error.message : String(error) };
  }
}

/** @throws ROOTLESS_UNAVAILABLE unless the probe has ended well */
function checkProbe(status: number | null, stderr: string): void {
  if (status === 0) return;
  const setting = (name: string): string => (readText(`/proc/sys/${name}`) ?? '').trim();
  if (setting('kernel/apparmor_restrict_unprivileged_userns') === '1') {
    throw missing(
      'AppArmor restricts user namespaces of normal users',
      'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    );
  }
  if (setting('kernel/unprivileged_userns_clone') === '0') {
    throw missing(
      'user namespaces of normal users are turned off',
      'sudo sysctl -w kernel.unprivileged_userns_clone=1',
    );
  }
  if (setting('user/max_user_namespaces') === '0') {
    throw missing('user namespaces are turned off', 'sudo sysctl -w user.max_user_namespaces=15000');
  }
  throw missing(
    `this machine refuses a user namespace${reasonOf(stderr)}`,
    'inside a container, start it with --privileged',
  );
}

function reasonOf(stderr: string): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  return line === '' ? '' : `: ${line}`;
}

/** execve(2), without the notice that Node's own function is experimental. */
function execve(file: string, args: readonly string[], env: Readonly<Record<string, string>>): never {
  const listeners = process.listeners('warning');
  process.removeAllListeners('warning');
  if (process.execve === undefined)
    throw missing('this Node cannot replace its process', 'install Node 24 or later');
  try {
    return process.execve(file, [...args], { ...env });
  } finally {
    for (const listener of listeners) process.on('warning', listener);
  }
}

function missing(what: string, hint: string): OcibuildError {
  return new OcibuildError('ROOTLESS_UNAVAILABLE', `Cannot run steps without root: ${what}`, { hint });
}
