import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { readJson } from '../util/read-json.ts';

type Env = Readonly<Record<string, string | undefined>>;

interface Meta {
  readonly Endpoints?: { readonly docker?: { readonly Host?: string } };
}

/**
 * The environment that names the daemon of the context that the `docker` command would use: none where DOCKER_HOST says
 * where it is, else that of DOCKER_CONTEXT, else what `docker context use` has set.
 * @throws DAEMON_NOT_FOUND
 */
export function activeContextEnv(env: Env): Env {
  if (env.DOCKER_HOST || env.CONTAINER_HOST) return env;
  return contextEnv(env.DOCKER_CONTEXT || currentContext(env) || 'default', env);
}

function currentContext(env: Env): string | undefined {
  const { currentContext: name } = dockerConfig(env);
  return typeof name === 'string' ? name : undefined;
}

/** Where the `docker` command keeps its settings. */
export function dockerConfigFile(env: Env): string {
  return join(configDir(env), 'config.json');
}

/** The `docker` command's own settings; empty where it has none. */
export function dockerConfig(env: Env): Readonly<Record<string, unknown>> {
  const config = readJson<unknown>(dockerConfigFile(env));
  return typeof config === 'object' && config !== null ? (config as Record<string, unknown>) : {};
}

/**
 * The environment that names the daemon of a Docker context, as `docker context` keeps them. `default` is none.
 * @throws DAEMON_NOT_FOUND
 */
export function contextEnv(name: string, env: Env): Env {
  if (name === 'default') return env;
  const config = configDir(env);
  const id = createHash('sha256').update(name).digest('hex');
  const host = hostIn(join(config, 'contexts/meta', id, 'meta.json'));
  if (host === undefined) {
    throw new OcibuildError('DAEMON_NOT_FOUND', `Cannot find the Docker context "${name}" in "${config}"`, {
      hint: 'see `docker context ls`',
    });
  }
  const certificates = join(config, 'contexts/tls', id, 'docker');
  const { DOCKER_TLS_VERIFY: _tls, DOCKER_CERT_PATH: _path, ...others } = env;
  return {
    ...others,
    DOCKER_HOST: host,
    ...(existsSync(certificates) ? { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: certificates } : {}),
  };
}

function configDir(env: Env): string {
  return env.DOCKER_CONFIG || join(env.HOME ?? '/', '.docker');
}

function hostIn(file: string): string | undefined {
  const meta = readJson<Meta>(file);
  return meta?.Endpoints?.docker?.Host || undefined;
}
