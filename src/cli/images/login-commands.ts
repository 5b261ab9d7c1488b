import { OcibuildError } from '../../errors/error.ts';
import { ask } from '../ask.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { LOGIN_FLAGS } from '../flags/image-flags.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import { readStdin } from '../read-stdin.ts';
import type { CliContext } from '../types.ts';

const HUB = 'docker.io';

/** `ocibuild login [REGISTRY]`: asks the registry before anything is stored. */
export async function loginCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...LOGIN_FLAGS, ...GLOBAL_FLAGS]);
  const [registry = HUB] = takePositional(parsed, [], 1);
  const { bool, text } = flagReader(parsed);
  const { env, signal, stderr } = context;
  const username = text('username') || (await askFor('user', context));
  const password = bool('password-stdin')
    ? (await readStdin(context)).replace(/\r?\n$/, '')
    : await askFor('password', context);
  if (username === '' || password === '') {
    throw new OcibuildError('USAGE_INVALID', 'Cannot log in without a user name and a password');
  }
  const { logIn } = await import('../../build/images/login.ts');
  const { host, keptIn } = await logIn(registry, { username, password }, { env, signal });
  stderr.write(`logged in to ${host}; the password is kept in ${keptIn}\n`);
  return '';
}

/** `ocibuild logout [REGISTRY]` */
export async function logoutCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, GLOBAL_FLAGS);
  const [registry = HUB] = takePositional(parsed, [], 1);
  const { logOut } = await import('../../build/images/login.ts');
  const { host, known } = await logOut(registry, context);
  context.stderr.write(known ? `logged out of ${host}\n` : `was not logged in to ${host}\n`);
  return '';
}

function askFor(what: 'user' | 'password', context: CliContext): Promise<string> {
  if (!context.stdin.isTTY) {
    throw new OcibuildError('USAGE_INVALID', `Cannot ask for the ${what}: stdin is no terminal`, {
      hint: 'write `ocibuild login -u NAME --password-stdin REGISTRY`',
    });
  }
  return what === 'user' ? ask('Username: ', context) : ask('Password: ', context, { hidden: true });
}
