import { type Daemon, findDaemon } from '../../transfer/daemon.ts';
import { activeContextEnv, contextEnv } from '../../transfer/docker-context.ts';
import type { Output } from '../options.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** The daemon that an output loads its image into. @throws DAEMON_NOT_FOUND, USAGE_UNSUPPORTED */
export async function daemonOf(output: Output, env: Env, signal: AbortSignal): Promise<Daemon> {
  const context = output.type === 'docker' ? output.context : undefined;
  return findDaemon(context === undefined ? activeContextEnv(env) : contextEnv(context, env), signal);
}
