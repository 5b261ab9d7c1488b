/** A user of the machine who is not root and owns a range of ids; only root can make one. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const CHECKOUT = resolve(import.meta.dirname, '../..');

export interface NormalUser extends Disposable {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Belongs to the user and goes with them. */
  readonly home: string;
  /** Where the user finds this checkout, whatever directory of root's it lies in. */
  readonly checkout: string;
  /** The Node of this process, as the user finds it. */
  readonly node: string;
  /** File and arguments of a process that runs `argv` as the user; exec all the way, so signals reach it. */
  command(argv: readonly string[]): [string, string[]];
}

/** Shows the checkout to the user in a mount namespace that ends with the process. */
const AS_USER = `
mount --bind "$1" "$2" && shift 2 && exec setpriv "$@"
`;

/**
 * Adds the user `name`, new each time. Disposing of it removes user, home and processes.
 * @param subIds whether the user gets ranges in /etc/subuid and /etc/subgid
 */
export function createNormalUser(name: string, { subIds = true }: { subIds?: boolean } = {}): NormalUser {
  remove(name);
  const home = mkdtempSync(join(tmpdir(), 'ocibuild-user-'));
  execFileSync('useradd', ['--no-create-home', '--home-dir', home, '--shell', '/bin/sh', name]);
  const id = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  const [uid, gid] = [id('-u'), id('-g')];
  // Some distributions give a range to every new user, some to none; usermod takes the lock that useradd takes.
  for (const kind of ['subuid', 'subgid']) {
    const range = rangeOf(name, `/etc/${kind}`);
    if (subIds && range === undefined)
      execFileSync('usermod', [`--add-${kind}s`, `${700_000}-${765_535}`, name]);
    else if (!subIds && range !== undefined) execFileSync('usermod', [`--del-${kind}s`, range, name]);
  }
  const checkout = join(home, 'checkout');
  mkdirSync(checkout);
  chownSync(home, uid, gid);
  const inCheckout = process.execPath.startsWith(`${CHECKOUT}/`);
  return {
    name,
    uid,
    gid,
    home,
    checkout,
    node: inCheckout ? join(checkout, process.execPath.slice(CHECKOUT.length)) : process.execPath,
    command(argv) {
      const drop = [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--inh-caps=-all'];
      return ['unshare', ['--mount', 'sh', '-c', AS_USER, 'as-user', CHECKOUT, checkout, ...drop, ...argv]];
    },
    [Symbol.dispose]() {
      remove(name);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Why no such user can be made here; undefined where one can. */
export function whyNoNormalUser(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, to make a user';
  const tools = ['useradd', 'usermod', 'userdel', 'setpriv', 'unshare', 'newuidmap'];
  const missing = tools.find((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  return missing === undefined ? undefined : `needs ${missing}`;
}

function rangeOf(name: string, file: string): string | undefined {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const [, start = 0, count = 0] = text
    .split('\n')
    .map((line) => line.split(':'))
    .find(([owner]) => owner === name) ?? [undefined];
  return Number(count) === 0 ? undefined : `${start}-${Number(start) + Number(count) - 1}`;
}

function remove(name: string): void {
  spawnSync('userdel', ['--force', name]);
}
