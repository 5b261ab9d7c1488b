import { join } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { CAPABILITY_NAMES } from '../../executor/machine.ts';
import type { PublishedPort } from '../../executor/types.ts';
import { runtimeConfig } from '../../image/runtime-config.ts';
import type { ImageConfig } from '../../image/types.ts';
import { INIT_TARGET } from './init.ts';
import { parseSignal } from './signals.ts';
import type { MountRequest, RunRequest } from './types.ts';

const DEFAULT_STOP_SIGNAL = 'SIGTERM';
const DEFAULT_STOP_TIMEOUT_SEC = 10;

/** What of a container follows from its image and the request alone. */
export interface ProcessPlan {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The request's own, and one for each volume of the image. */
  readonly mounts: readonly MountRequest[];
  readonly ports: readonly PublishedPort[];
  readonly stopSignal: string;
  readonly stopTimeoutSec: number;
}

/**
 * Puts a request on top of the image's config, as Docker does: an entrypoint of the request empties the image's Cmd,
 * words of the request replace it.
 * @throws USAGE_INVALID when there is nothing to run
 * @see image-spec conversion.md
 */
export function planProcess(image: ImageConfig, request: RunRequest, hostname: string): ProcessPlan {
  const { config = {} } = image;
  const entrypoint = request.entrypoint ?? config.Entrypoint ?? [];
  const cmd = request.args.length > 0 || request.entrypoint !== undefined ? request.args : (config.Cmd ?? []);
  const args = [...entrypoint, ...cmd];
  if (args.length === 0) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot start a container: the image names no command', {
      hint: 'write one after the image',
    });
  }
  // Only env, annotations and volumes are asked for: the user is looked up when the root is mounted.
  const { process, annotations, volumes } = runtimeConfig(image, { uid: 0, gid: 0 });
  const taken = new Set(request.mounts.map(({ target }) => target));
  const stopSignal = request.stopSignal ?? config.StopSignal ?? DEFAULT_STOP_SIGNAL;
  parseSignal(stopSignal);
  checkCapabilities([...request.addCapabilities, ...request.dropCapabilities]);
  return {
    args: request.init === undefined ? args : [INIT_TARGET, '--', ...args],
    // As in Docker: an image that sets one of them keeps its own.
    env: [`HOSTNAME=${hostname}`, ...(request.tty ? ['TERM=xterm'] : []), ...process.env, ...request.env],
    cwd: join('/', request.cwd ?? process.cwd),
    user: request.user ?? config.User ?? '',
    annotations: { ...annotations, ...request.labels },
    mounts: [
      ...volumes
        .filter((target) => !taken.has(target))
        .map((target): MountRequest => ({ type: 'volume', target, readonly: false })),
      ...request.mounts,
      ...(request.init === undefined ? [] : [initMount(request.init)]),
    ],
    ports: [
      ...request.ports,
      ...(request.publishAll
        ? exposedPorts([...Object.keys(config.ExposedPorts ?? {}), ...(request.expose ?? [])], request.ports)
        : []),
    ],
    stopSignal,
    stopTimeoutSec: request.stopTimeoutSec ?? DEFAULT_STOP_TIMEOUT_SEC,
  };
}

function initMount(source: string): MountRequest {
  return { type: 'bind', source, target: INIT_TARGET, readonly: true, create: false };
}

/** A runtime passes over names that it does not know. */
function checkCapabilities(names: readonly string[]): void {
  const known = ['ALL', ...CAPABILITY_NAMES];
  const strange = names.find((name) => !known.includes(name));
  if (strange === undefined) return;
  const hint = didYouMean(strange, known);
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use the capability "${strange}": there is none of that name`,
    {
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

/** Each exposed port that is not published yet, on a free one of the host. */
function exposedPorts(exposed: readonly string[], published: readonly PublishedPort[]): PublishedPort[] {
  return [...new Set(exposed)].flatMap((text): PublishedPort[] => {
    const [number = '', protocol = 'tcp'] = text.split('/');
    if (protocol !== 'tcp' && protocol !== 'udp') return [];
    const containerPort = Number(number);
    const isTaken = published.some(
      (port) => port.containerPort === containerPort && port.protocol === protocol,
    );
    return isTaken ? [] : [{ hostPort: 0, containerPort, protocol }];
  });
}
