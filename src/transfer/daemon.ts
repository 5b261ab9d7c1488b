import { readFileSync, statSync } from 'node:fs';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { type ArchiveTargetOptions, archiveTarget } from './archive-target.ts';
import type { ImageTarget } from './types.ts';

/** A daemon that speaks Docker's API. */
export interface Daemon {
  /** As it was found: `unix:///var/run/docker.sock`. */
  readonly address: string;
  readonly connection: http.RequestOptions & https.RequestOptions;
}

type Env = Readonly<Record<string, string | undefined>>;

const PING_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 1 << 20;

/**
 * The Docker or Podman daemon of this machine: where DOCKER_HOST or CONTAINER_HOST say, else the first socket in a
 * usual place that answers.
 * @throws DAEMON_NOT_FOUND
 */
export async function findDaemon(env: Env, signal: AbortSignal): Promise<Daemon> {
  const given = env.DOCKER_HOST || env.CONTAINER_HOST;
  const tried: string[] = [];
  for (const address of given ? [given] : usualSockets(env)) {
    const daemon = { address, connection: connectionTo(address, env) };
    try {
      await ping(daemon, signal);
      return daemon;
    } catch (error) {
      throwIfAborted(signal);
      const why = errnoOf(error) ?? (error instanceof Error ? error.message : String(error));
      tried.push(`"${address}" (${REASONS[why] ?? why})`);
    }
  }
  const where = tried.length === 0 ? '' : `: tried ${tried.join(', ')}`;
  throw new OcibuildError('DAEMON_NOT_FOUND', `Cannot find a Docker or Podman daemon${where}`, {
    hint: 'start one or set DOCKER_HOST; without one, write an archive: -o type=docker,dest=FILE',
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'no permission',
  ECONNREFUSED: 'nobody listens',
  ENOTFOUND: 'the host is unknown',
};

/** Sockets that are there. */
function usualSockets({ XDG_RUNTIME_DIR: runtimeDir, HOME: home }: Env): string[] {
  const paths = [
    '/var/run/docker.sock',
    ...(runtimeDir ? [join(runtimeDir, 'docker.sock')] : []),
    ...(home ? [join(home, '.docker/run/docker.sock')] : []),
    ...(runtimeDir ? [join(runtimeDir, 'podman/podman.sock')] : []),
    '/run/podman/podman.sock',
  ];
  const isSocket = (path: string): boolean => {
    try {
      return statSync(path).isSocket();
    } catch {
      return false;
    }
  };
  return paths.filter(isSocket).map((path) => `unix://${path}`);
}

function connectionTo(address: string, env: Env): Daemon['connection'] {
  if (address.startsWith('unix://')) return { socketPath: address.slice('unix://'.length) };
  const url = URL.parse(address.replace(/^tcp:/, 'http:'));
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new OcibuildError(
      'USAGE_UNSUPPORTED',
      `Cannot reach the daemon at "${address}": expected unix://PATH or tcp://HOST:PORT`,
    );
  }
  // Brackets are the URL's, not the address's.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const isTls = url.protocol === 'https:' || Boolean(env.DOCKER_TLS_VERIFY);
  if (!isTls) return { host, port: url.port || 2375 };
  const dir = env.DOCKER_CERT_PATH || join(env.DOCKER_CONFIG || join(env.HOME ?? '/', '.docker'));
  const file = (name: string): { [key: string]: Buffer } => {
    const path = join(dir, `${name}.pem`);
    try {
      return { [name]: readFileSync(path) };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return {};
      throw error;
    }
  };
  const tls = { ...file('ca'), ...file('cert'), ...file('key') };
  return { protocol: 'https:', host, port: url.port || 2376, ...tls };
}

function send(daemon: Daemon, options: http.RequestOptions): ClientRequest {
  const module = daemon.connection.protocol === 'https:' ? https : http;
  return module.request({ ...daemon.connection, ...options });
}

async function ping(daemon: Daemon, signal: AbortSignal): Promise<void> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(PING_TIMEOUT_MS)]);
  const request = send(daemon, { path: '/_ping', signal: either });
  const response = await answerOf(request, () => request.end());
  response.resume();
  if (response.statusCode !== 200) throw new Error(`it answered ${response.statusCode}`);
}

/** The answer to a request, which may come before all of it is sent. */
function answerOf(request: ClientRequest, begin: () => void): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
    begin();
  });
}

/**
 * A daemon as a target: the image streams into it as a Docker archive, nothing is kept on disk here.
 * @throws LOAD_FAILED when the daemon does not take it
 * @see Docker Engine API, POST /images/load
 */
export function daemonTarget(daemon: Daemon, options: ArchiveTargetOptions): ImageTarget {
  const { signal } = options;
  return async (top, fill) => {
    const request = send(daemon, {
      method: 'POST',
      path: '/images/load?quiet=1',
      headers: { 'content-type': 'application/x-tar' },
      signal,
    });
    const answered = answerOf(request, () => request.flushHeaders());
    answered.catch(() => undefined);
    try {
      await archiveTarget({ dest: '-', stdout: request }, options)(top, fill);
      request.end();
    } catch (error) {
      throwIfAborted(signal);
      const said = await earlyAnswer(answered);
      request.destroy();
      throw said === undefined ? broken(daemon, error) : refused(daemon, said);
    }
    const said = await answered.then(readAnswer).catch((error: unknown) => {
      throwIfAborted(signal);
      throw broken(daemon, error);
    });
    if (said.error !== undefined) throw refused(daemon, said.error);
  };
}

/** Why the daemon stopped reading, where it says so; it may have just gone. */
async function earlyAnswer(answered: Promise<IncomingMessage>): Promise<string | undefined> {
  const timeout = new Promise<undefined>((resolve) => setTimeout(resolve, 500, undefined).unref());
  const said = answered.then(readAnswer).then(({ error }) => error);
  return Promise.race([said.catch(() => undefined), timeout]);
}

/** Errors come by status, or, once the answer has begun, as one of its JSON lines. */
async function readAnswer(response: IncomingMessage): Promise<{ readonly error?: string }> {
  let text = '';
  for await (const chunk of response) if (text.length < MAX_ANSWER_BYTES) text += String(chunk);
  const lines = text.split('\n').flatMap((line): { error?: unknown; message?: unknown }[] => {
    try {
      return [JSON.parse(line) as object];
    } catch {
      return [];
    }
  });
  const error = lines.map((line) => line?.error ?? line?.message).find((found) => typeof found === 'string');
  if (typeof error === 'string') return { error };
  return response.statusCode === 200 ? {} : { error: `it answered ${response.statusCode}` };
}

function refused({ address }: Daemon, why: string): OcibuildError {
  return new OcibuildError('LOAD_FAILED', `Cannot load the image into "${address}": ${why.trim()}`);
}

function broken({ address }: Daemon, cause: unknown): unknown {
  if (cause instanceof OcibuildError && cause.code !== 'EXPORT_FAILED') return cause;
  return new OcibuildError(
    'LOAD_FAILED',
    `Cannot load the image into "${address}": the connection ended (${errnoOf(cause) ?? 'no answer'})`,
    { cause },
  );
}
