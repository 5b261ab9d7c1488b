import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The environment that names the daemon of a Docker context, as `docker context` keeps them. `default` is none.
 * @throws DAEMON_NOT_FOUND
 */
export function contextEnv(name: string, env: Env): Env {
  if (name === 'default') return env;
  const config = env.DOCKER_CONFIG || join(env.HOME ?? '/', '.docker');
  const id = createHash('sha256').update(name).digest('hex');
  const host = hostIn(join(config, 'contexts/meta', id, 'meta.json'));
  if (host === undefined) {
    throw new OcibuildError('DAEMON_NOT_FOUND', `Cannot find the Docker context "${name}" in "${config}"`, {
      hint: 'see `docker context ls`',
    });
  }
  const certificates = join(config, 'contexts/tls', id, 'docker');
  return {
    ...env,
    DOCKER_HOST: host,
    ...(existsSync(certificates) ? { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: certificates } : {}),
  };
}

function hostIn(file: string): string | undefined {
  try {
    const meta = JSON.parse(readFileSync(file, 'utf8')) as {
      readonly Endpoints?: { readonly docker?: { readonly Host?: string } };
    };
    return meta.Endpoints?.docker?.Host || undefined;
  } catch {
    return undefined;
  }
}
