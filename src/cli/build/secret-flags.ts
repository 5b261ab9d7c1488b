import type { SecretSource, SshSource } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { parseAttributes } from '../flags/csv.ts';
import { splitAt } from '../flags/parse-args.ts';

type Env = Readonly<Record<string, string | undefined>>;

const SECRET_KEYS = ['id', 'src', 'source', 'env', 'type'];

/**
 * Values of `--secret` by id. A bare id is the variable of that name, or else the file.
 * @throws USAGE_INVALID
 */
export function parseSecrets(values: readonly string[], env: Env): Record<string, SecretSource> {
  return Object.fromEntries(values.map((value) => parseSecret(value, env)));
}

function parseSecret(value: string, env: Env): [string, SecretSource] {
  const fail = (why: string, hint?: string) =>
    new OcibuildError('USAGE_INVALID', `Cannot use --secret "${value}": ${why}`, {
      hint: hint ?? 'write it as --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE',
    });
  const attributes = parseAttributes(value);
  const strange = [...attributes.keys()].find((key) => !SECRET_KEYS.includes(key));
  if (strange !== undefined) throw fail(`there is no key "${strange}"`, didYouMean(strange, SECRET_KEYS));
  const id = attributes.get('id') ?? '';
  if (id === '') throw fail('it has no id');
  const type = attributes.get('type');
  if (type !== undefined && type !== 'file' && type !== 'env')
    throw fail(`its type is "file" or "env", not "${type}"`);
  const variable = attributes.get('env');
  const path = attributes.get('src') || attributes.get('source');
  if (variable !== undefined && (path !== undefined || type === 'file'))
    throw fail('it is a file or a variable, not both');
  if (variable !== undefined || type === 'env') return [id, { type: 'env', name: variable || path || id }];
  if (path === undefined && type === undefined && env[id] !== undefined)
    return [id, { type: 'env', name: id }];
  return [id, { type: 'file', path: path ?? id }];
}

/**
 * Values of `--ssh` by id. An id alone is the agent of the user; with one path that is a socket, the agent there.
 * @param isSocket whether a path of the command line is one
 * @throws USAGE_INVALID
 */
export function parseSsh(
  values: readonly string[],
  env: Env,
  isSocket: (path: string) => boolean,
): Record<string, SshSource> {
  return Object.fromEntries(
    values.map((value): [string, SshSource] => {
      const [id, paths] = splitAt(value, '=');
      if (id === '') {
        throw new OcibuildError('USAGE_INVALID', `Cannot use --ssh "${value}": it has no id`, {
          hint: 'write it as --ssh default or --ssh ID=PATH',
        });
      }
      const files = (paths ?? env.SSH_AUTH_SOCK ?? '').split(',').filter((path) => path !== '');
      const [first] = files;
      if (first === undefined) {
        throw new OcibuildError(
          'USAGE_INVALID',
          `Cannot forward an SSH agent as "${id}": SSH_AUTH_SOCK is not set`,
          {
            hint: `start one with eval $(ssh-agent) && ssh-add, or name a key: --ssh ${id}=FILE`,
          },
        );
      }
      if (!files.some(isSocket) && paths !== undefined) return [id, { type: 'keys', files }];
      if (files.length === 1) return [id, { type: 'agent', socket: first }];
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot use --ssh "${value}": it mixes an agent with other files`,
      );
    }),
  );
}
