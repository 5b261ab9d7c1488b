import { join } from 'node:path';
import type { PublishedPort } from '../types.ts';
import { findTapProgram, type NetHelper, startHelper } from './helper.ts';

/** Answers name queries inside, from whatever server the host uses. */
export const PASTA_DNS = '169.254.1.1';

/**
 * Pasta goes into the background when its ports are taken and its device is there; the shell stays, and ends it when
 * the descriptor closes that only our process holds.
 */
const SCRIPT = `
pidfile=$1; shift
"$@" 4<&- || exit
read -r pid <"$pidfile"; rm -f "$pidfile"
echo ready >&3
read -r line <&4
kill "$pid" 2>/dev/null
`;
const READY = 3;
const LIFELINE = 4;

export interface PastaOptions {
  readonly namespacePath: string;
  readonly ports: readonly PublishedPort[];
  readonly searchPath: string;
  /** Where its pid file may be. */
  readonly dir: string;
  readonly id: string;
}

/** @throws NETWORK_UNAVAILABLE */
export function findPasta(searchPath: string): string {
  return findTapProgram('pasta', 'passt', searchPath);
}

/** Attaches pasta to a namespace. @throws NETWORK_UNAVAILABLE, NETWORK_FAILED */
export function startPasta(options: PastaOptions): Promise<NetHelper> {
  const pidFile = join(options.dir, `${options.id}.pid`);
  const pasta = [findPasta(options.searchPath), ...pastaArguments(options.ports, pidFile)];
  const command = ['/bin/sh', '-c', SCRIPT, 'ocibuild-network', pidFile, ...pasta];
  return startHelper(
    { name: 'pasta', command, readyFd: READY, lifelines: [LIFELINE] },
    options.namespacePath,
  );
}

/**
 * Arguments of pasta(1): nothing is forwarded but the TCP ports, in neither direction, and the host's own loopback is not
 * to be reached by the gateway's address.
 */
export function pastaArguments(ports: readonly PublishedPort[], pidFile: string): string[] {
  const specs = ports.filter(({ protocol }) => protocol === 'tcp').map(portSpec);
  return [
    ...['--config-net', '--no-map-gw', '--quiet', '--dns-forward', PASTA_DNS],
    // The user that it is already: by default root becomes nobody, who may not join the namespace.
    ...['--runas', '0:0', '--pid', pidFile],
    ...(specs.length === 0 ? ['-t', 'none'] : specs.flatMap((spec) => ['-t', spec])),
    ...['-u', 'none', '-T', 'none', '-U', 'none'],
    // Its own watch for the namespace's end looks at a path, and ours is a descriptor.
    ...['--no-netns-quit', '--netns', '/proc/self/fd/0'],
  ];
}

function portSpec({ hostIp, hostPort, containerPort }: PublishedPort): string {
  return `${hostIp === undefined ? '' : `${hostIp}/`}${hostPort}:${containerPort}`;
}
