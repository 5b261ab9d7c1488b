import { existsSync, readFileSync } from 'node:fs';
import { isOcibuildError } from '../../errors/error.ts';
import { redact } from '../../errors/redact.ts';
import { findProgram } from '../../executor/find-program.ts';
import { authFiles } from '../../registry/credentials.ts';
import { findDaemon } from '../../transfer/daemon.ts';
import { activeContextEnv } from '../../transfer/docker-context.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import type { Finding, Machine } from './types.ts';

/** Files of credentials, and the helpers that they name. Says where and for how many registries, never what. */
export function probeCredentials(machine: Machine): Finding[] {
  const files = authFiles(machine.env).filter(existsSync);
  if (files.length === 0)
    return [{ id: 'credentials', status: 'ok', message: 'none: registries are asked as anybody' }];
  return files.map((path) => probeAuthFile(path, machine));
}

function probeAuthFile(path: string, { searchPath }: Machine): Finding {
  let file: { auths?: object; credHelpers?: Record<string, string>; credsStore?: string };
  try {
    file = JSON.parse(readFileSync(path, 'utf8')) as typeof file;
  } catch (error) {
    const errno = errnoOf(error);
    const message = errno === undefined ? `"${path}" is not JSON` : `"${path}" cannot be read (${errno})`;
    return {
      id: 'credentials',
      status: 'warn',
      message,
      fix: `repair "${path}", or move it away and log in again`,
    };
  }
  const { auths = {}, credHelpers = {}, credsStore } = file ?? {};
  const helpers = [...new Set([...Object.values(credHelpers), ...(credsStore ? [credsStore] : [])])];
  const lost = helpers.filter((name) => findProgram(`docker-credential-${name}`, searchPath) === undefined);
  if (lost.length > 0) {
    const names = lost.map((name) => `docker-credential-${name}`).join(', ');
    const message = `"${path}" names ${names}, which cannot be found`;
    return { id: 'credentials', status: 'warn', message, fix: `install it, or take it out of "${path}"` };
  }
  const count = new Set([...Object.keys(auths), ...Object.keys(credHelpers)]).size;
  const by = helpers.length === 0 ? '' : `, helpers ${helpers.join(', ')}`;
  return { id: 'credentials', status: 'ok', message: `"${path}": registries ${count}${by}` };
}

const PROXIES = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'];
const CA_FILES = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'];

/** Variables that decide how registries are reached. */
export function probeVariables({ env }: Machine): Finding[] {
  const proxies = PROXIES.flatMap((upper) => {
    const name = [upper, upper.toLowerCase()].find((each) => env[each]);
    return name === undefined ? [] : [`${name}=${redact(env[name] ?? '')}`];
  });
  const broken = PROXIES.slice(0, 3)
    .flatMap((upper) => [upper, upper.toLowerCase()])
    .filter(
      (name) => env[name] && !URL.canParse(env[name].includes('://') ? env[name] : `http://${env[name]}`),
    );
  const files = CA_FILES.flatMap((name) => (env[name] ? [{ name, path: env[name] }] : []));
  const lost = files.filter(({ path }) => !existsSync(path));
  return [
    ...broken.map((name): Finding => {
      const message = `${name} is no URL: registries cannot be reached through it`;
      return { id: 'proxy', status: 'warn', message, fix: `export ${name}=http://HOST:PORT` };
    }),
    ...(proxies.length > 0 && broken.length === 0
      ? [{ id: 'proxy', status: 'ok', message: proxies.join(' ') } as const]
      : []),
    ...files.map(
      ({ name, path }): Finding =>
        lost.some((each) => each.name === name)
          ? { id: 'ca', status: 'warn', message: `${name}="${path}" does not exist`, fix: `unset ${name}` }
          : { id: 'ca', status: 'ok', message: `${name}="${path}"` },
    ),
  ];
}

const DAEMON_MS = 1000;

/** A daemon that `--load` reaches. Not having one is no fault. */
export async function probeDaemon({ env, signal }: Machine): Promise<Finding> {
  try {
    const { address } = await findDaemon(
      activeContextEnv(env),
      AbortSignal.any([signal, AbortSignal.timeout(DAEMON_MS)]),
    );
    return { id: 'daemon', status: 'ok', message: `--load reaches ${redact(address)}` };
  } catch (error) {
    signal.throwIfAborted();
    const why = isOcibuildError(error) ? error.message : 'it does not answer';
    if (!namesDaemon(env) && !existsSync('/var/run/docker.sock'))
      return { id: 'daemon', status: 'ok', message: 'no Docker or Podman here: only --load would want one' };
    const message = `--load does not work: ${redact(why)}`;
    return { id: 'daemon', status: 'warn', message, fix: 'start it, or set DOCKER_HOST; builds need none' };
  }
}

function namesDaemon(env: Machine['env']): boolean {
  try {
    const { DOCKER_HOST, CONTAINER_HOST } = activeContextEnv(env);
    return Boolean(DOCKER_HOST || CONTAINER_HOST);
  } catch {
    return true;
  }
}
