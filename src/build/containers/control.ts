import { execFile } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import { findProgram } from '../../executor/find-program.ts';
import { globalArgs } from '../../executor/runtime.ts';
import { readContainer, removeRecord } from './records.ts';
import { parseSignal } from './signals.ts';
import type { Container, ContainerReach } from './types.ts';

const POLL_MS = 20;
const SIGKILL = 9;
/** How long a container may take to go away once nothing can hold it. */
const KILL_TIMEOUT_MS = 10_000;

/**
 * A command line of the container's runtime, in the namespaces of the process that holds the container: its mounts
 * are seen there only, and of a normal user's container the ids too.
 * @param log where the runtime reports to, as JSON lines
 * @throws NSENTER_NOT_FOUND
 */
export function runtimeCommand(
  reach: ContainerReach,
  args: readonly string[],
  log?: string,
): [string, string[]] {
  const { mountNamespace, runtime, stateDir } = reach;
  const nsenter = findProgram('nsenter', process.env.PATH ?? '');
  if (nsenter === undefined) {
    throw new OcibuildError('NSENTER_NOT_FOUND', 'Cannot enter the container: "nsenter" is not installed', {
      hint: 'sudo apt-get install util-linux',
    });
  }
  const userNamespace = mountNamespace.replace(/mnt$/, 'user');
  const isOurs = readlinkSync(userNamespace) === readlinkSync('/proc/self/ns/user');
  const enter = [...(isOurs ? [] : [`--user=${userNamespace}`]), `--mount=${mountNamespace}`];
  const options = { stateDir, ...(log === undefined ? {} : { log }) };
  return [nsenter, [...enter, '--', runtime.path, ...globalArgs(runtime, options), ...args]];
}

/** @throws CONTAINER_STATE_INVALID when it has ended meanwhile, NSENTER_NOT_FOUND */
export async function signalContainer(reach: ContainerReach, signal: number): Promise<void> {
  try {
    const [file, args] = runtimeCommand(reach, ['kill', reach.runtimeId, String(signal)]);
    await promisify(execFile)(file, args);
  } catch (cause) {
    if (isOcibuildError(cause)) throw cause;
    throw new OcibuildError('CONTAINER_STATE_INVALID', 'Cannot send a signal to the container', { cause });
  }
}

/** How a running container is reached. @throws CONTAINER_STATE_INVALID */
export function reachOf({ plan, state }: Container, verb: string): ContainerReach {
  if (state.status === 'running' && state.reach !== undefined) return state.reach;
  throw new OcibuildError(
    'CONTAINER_STATE_INVALID',
    `Cannot ${verb} the container "${plan.name}": it is ${state.status} and not running`,
    { details: { container: plan.id, status: state.status } },
  );
}

/**
 * Sends a container its stop signal, and SIGKILL when it has not ended in time. One that is stopped already stays so.
 * @returns after all that it held is let go
 */
export async function stopContainer(
  root: string,
  container: Container,
  { timeoutSec, signal }: { readonly timeoutSec?: number; readonly signal: AbortSignal },
): Promise<void> {
  const { plan } = container;
  const started = await waitWhile(root, container, {
    states: ['creating', 'created'],
    timeoutMs: KILL_TIMEOUT_MS,
    signal,
  });
  if (started === undefined || started.state.status === 'stopped') return;
  const reach = reachOf(started, 'stop');
  await quietly(signalContainer(reach, parseSignal(plan.stopSignal)));
  const timeoutMs = (timeoutSec ?? plan.stopTimeoutSec) * 1000;
  const left = await waitWhile(root, container, { states: ['running'], timeoutMs, signal });
  if (left?.state.status !== 'running') return;
  await killContainer(root, container, { reach, signal });
}

async function killContainer(
  root: string,
  container: Container,
  { reach, signal }: { readonly reach: ContainerReach; readonly signal: AbortSignal },
): Promise<void> {
  await quietly(signalContainer(reach, SIGKILL));
  const left = await waitWhile(root, container, { states: ['running'], timeoutMs: KILL_TIMEOUT_MS, signal });
  if (left?.state.status !== 'running') return;
  throw new OcibuildError(
    'CONTAINER_STATE_INVALID',
    `Cannot stop the container "${container.plan.name}": it does not end`,
  );
}

/** It may have ended between the look at it and the signal. */
async function quietly(sent: Promise<void>): Promise<void> {
  await sent.catch((error: unknown) => {
    if (isOcibuildError(error) && error.code === 'NSENTER_NOT_FOUND') throw error;
  });
}

/** The container once it is in none of these states, or after the time; undefined when it is gone. */
export async function waitWhile(
  root: string,
  { plan }: Pick<Container, 'plan'>,
  until: {
    readonly states: readonly string[];
    readonly timeoutMs?: number;
    readonly signal: AbortSignal;
  },
): Promise<Container | undefined> {
  const end = Date.now() + (until.timeoutMs ?? Number.POSITIVE_INFINITY);
  for (;;) {
    throwIfAborted(until.signal);
    const now = readContainer(root, plan.id);
    if (now === undefined || !until.states.includes(now.state.status) || Date.now() >= end) return now;
    await sleep(POLL_MS);
  }
}

/**
 * Takes a container away with what it wrote.
 * @throws CONTAINER_STATE_INVALID for one that runs, without `force`
 */
export async function removeContainer(
  root: string,
  container: Container,
  { force, signal }: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { plan, state } = container;
  if (state.status !== 'stopped') {
    if (!force) {
      throw new OcibuildError(
        'CONTAINER_STATE_INVALID',
        `Cannot remove the container "${plan.name}": it is ${state.status} and not stopped`,
        { hint: `ocibuild stop ${plan.name}, or ocibuild rm -f ${plan.name}` },
      );
    }
    await stopContainer(root, container, { timeoutSec: 0, signal });
  }
  removeRecord(root, container);
}
