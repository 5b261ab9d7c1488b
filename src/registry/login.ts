import { randomBytes } from 'node:crypto';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { errnoOf, writeFileAtomic } from '../util/atomic-fs.ts';
import { makeDirs } from '../util/make-dirs.ts';
import { createClient } from './client.ts';
import { authFiles, type Credential, type HelperCall, runHelper, serverName } from './credentials.ts';
import type { ResolverOptions } from './types.ts';

export interface LoginOptions extends ResolverOptions {
  readonly signal: AbortSignal;
}

/**
 * Asks a registry whether it takes a user's password, then keeps it where Docker does: with the credential helper of
 * the configuration, else in its file. Nothing is stored when the registry refuses.
 * @returns where it was stored
 * @throws REGISTRY_*
 */
export async function login(
  registry: string,
  user: { readonly username: string; readonly password: string },
  options: LoginOptions,
): Promise<string> {
  const credential: Credential = { kind: 'password', ...user };
  const client = createClient({
    ...options,
    credentials: { find: async () => ({ credential, origin: `the password of "${user.username}"` }) },
  });
  const ref = { registry, repository: '' };
  await client.call({ ref, method: 'GET', path: '', signal: options.signal }, async ({ body }) => {
    body.resume();
  });
  const file = configFile(options.env);
  const config = readConfig(file);
  const server = serverName(registry);
  const helper = helperOf(config, registry);
  if (helper !== undefined) {
    const input = JSON.stringify({ ServerURL: server, Username: user.username, Secret: user.password });
    await call({ name: helper, action: 'store', input, env: options.env, signal: options.signal });
    return `helper "docker-credential-${helper}"`;
  }
  const auth = Buffer.from(`${user.username}:${user.password}`).toString('base64');
  write(file, { ...config, auths: { ...config.auths, [server]: { auth } } });
  return file;
}

/** Forgets what `login` stored. False when there was nothing in the file. @throws REGISTRY_CONFIG_INVALID */
export async function logout(
  registry: string,
  { env, signal }: Pick<LoginOptions, 'env' | 'signal'>,
): Promise<boolean> {
  const file = configFile(env);
  const config = readConfig(file);
  const server = serverName(registry);
  const helper = helperOf(config, registry);
  if (helper !== undefined) await call({ name: helper, action: 'erase', input: server, env, signal });
  const { [server]: known, ...auths } = config.auths ?? {};
  if (known !== undefined) write(file, { ...config, auths });
  return known !== undefined || helper !== undefined;
}

interface DockerConfig {
  readonly auths?: Readonly<Record<string, unknown>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

function helperOf({ credHelpers, credsStore }: DockerConfig, registry: string): string | undefined {
  return credHelpers?.[registry] ?? (credsStore || undefined);
}

async function call(helper: HelperCall): Promise<void> {
  const { code, out } = await runHelper(helper);
  if (code === 0) return;
  throw new OcibuildError(
    'REGISTRY_CONFIG_INVALID',
    `Cannot ${helper.action} the password with "docker-credential-${helper.name}": ${out || `it ended with ${code}`}`,
    { hint: 'install the helper, or take "credsStore" out of the configuration' },
  );
}

/** The file that both directions use. */
function configFile(env: LoginOptions['env']): string {
  const [file] = authFiles({ ...env, XDG_RUNTIME_DIR: undefined });
  if (file !== undefined) return file;
  throw new OcibuildError('REGISTRY_CONFIG_INVALID', 'Cannot store a password: HOME is not set', {
    hint: 'set HOME or DOCKER_CONFIG',
  });
}

function readConfig(file: string): DockerConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return {};
    throw unusable(file, error);
  }
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null) return json;
  } catch {
    // Told below.
  }
  throw unusable(file, undefined);
}

/** A link to a file elsewhere (dotfiles in a repository) stays a link. */
function write(file: string, config: DockerConfig): void {
  try {
    makeDirs(dirname(file), 0o700);
    const target = realPathOf(file);
    const temp = `${target}.${randomBytes(6).toString('hex')}`;
    writeFileAtomic(target, `${JSON.stringify(config, undefined, '\t')}\n`, { temp, mode: 0o600 });
  } catch (error) {
    throw unusable(file, error);
  }
}

function realPathOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

function unusable(file: string, cause: unknown): OcibuildError {
  const why = cause === undefined ? 'it is not JSON' : (errnoOf(cause) ?? 'unknown');
  return new OcibuildError('REGISTRY_CONFIG_INVALID', `Cannot use the credentials file "${file}": ${why}`, {
    cause,
    hint: 'repair the file or move it away',
  });
}
